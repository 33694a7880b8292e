"""Pages of boards: what they hold, that no text of a board is more than text, and where they are written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import Field
from site_helpers import BOARDS, OLDER, Structure, digits, with_text

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.axes import axes_of_summaries
from dynvit.leaderboard.frozen import Frozen
from dynvit.leaderboard.tiers import CHECKED, SELF_REPORTED
from dynvit.plain import visible
from dynvit.report.axes import axes_of
from dynvit.site import build_site
from dynvit.site.board_pages import board_page
from dynvit.site.chart import front_with_rows
from dynvit.site.entry_pages import entry_pages
from dynvit.site.glance import glance_at
from dynvit.site.index_page import index_page
from dynvit.site.marks import DARK, contrast, mark_of
from dynvit.site.pictures import pictures_of
from dynvit.site.rows import sheet_of
from dynvit.site.source import sources_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site([digits()], tmp_path_factory.mktemp("made") / "site").folder


def pages(folder: Path) -> Iterator[tuple[Path, Structure]]:
    return ((file, Structure(file.read_bytes())) for file in sorted(folder.rglob("*.html")))


def test_the_table_has_every_entry_and_every_paper_row_without_a_script(folder: Path) -> None:
    page, board = (folder / "digits" / "index.html").read_text(encoding="utf-8"), digits().board
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    assert body.count("<tr") == len(board.entries) + 1
    for entry in board.entries:
        assert f'href="entries/{entry.record_id}.html"' in body
    assert "A-ViT, 3 halting blocks <small>A paper, Table 1</small>" in body
    assert page.index('<table id="entries"') < page.index('id="front"'), "the table is the accessible form: it is first"


def test_links_lead_to_files_of_the_folder_and_nothing_is_fetched(folder: Path) -> None:
    for file, structure in pages(folder):
        for tag, link in structure.links:
            if link.startswith("data:"):
                continue
            assert "://" not in link, f"{file.name}: <{tag}> leads outside, to {link}"
            assert link == "#main" or (file.parent / link).is_file(), f"{file.name}: <{tag}> leads to {link}"


def test_what_can_be_taken_along_is_whole(folder: Path) -> None:
    import altair

    place, source = folder / "digits", digits()
    assert (place / "board.json").read_bytes() == (BOARDS / "digits.json").read_bytes()
    assert (place / "per_sample.jsonl").read_bytes() == (BOARDS / "digits.per_sample.jsonl").read_bytes()
    assert len((place / "board.csv").read_text().splitlines()) == len(source.board.entries) + 1
    assert (place / "front.svg").read_bytes().lstrip().startswith(b"<?xml")
    spec = json.loads((place / "front.vl.json").read_text())
    assert len(spec["datasets"]["rows"]) == len(source.board.entries) + 1
    altair.Chart.from_dict(spec)  # raises where it is no specification


def test_the_same_boards_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = build_site([digits()], tmp_path / "again").folder
    files = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert files == {file.relative_to(again): file.read_bytes() for file in again.rglob("*") if file.is_file()}


HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\u2028\u2029\u202e\x00]]>",
    "<!--<script>",
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "../../../x",
    "&lt;b&gt;",
    "𝒳 \\u003c/script>",
    "__proto__",
    "-->",
)
BENIGN = with_text("name")
BENIGN_BOARD = Structure(board_page(BENIGN, sheet_of(BENIGN))).elements
BENIGN_INDEX = Structure(index_page([glance_at(BENIGN, ["name"], ["name"])])).elements
BENIGN_ENTRIES = [Structure(content).elements for _, content in entry_pages(BENIGN, sheet_of(BENIGN))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=30).filter(lambda text: text.strip(" ")))
@example("</script><script>alert(1)</script>")
@example("\u2028</SCRIPT\t>\"'`")
def test_a_text_of_a_board_is_text_on_every_page_and_nothing_more(text: str) -> None:
    source = with_text(text)
    sheet = sheet_of(source)
    board = Structure(board_page(source, sheet))
    assert board.elements == BENIGN_BOARD
    data = next(json.loads(script) for script in board.scripts if script.startswith('{"axes"'))
    assert data["facets"]["method"]["names"] == [visible(text)]
    assert data["point"][-1] == visible(text), "the paper's row"
    assert Structure(index_page([glance_at(source, [text], [text])])).elements == BENIGN_INDEX
    for (name, content), benign in zip(entry_pages(source, sheet), BENIGN_ENTRIES, strict=True):
        entry = Structure(content)
        assert entry.elements == benign
        assert all(json.loads(script) for script in entry.scripts if script)
        assert name.removesuffix(".html").isalnum(), "no id chooses where a file goes"


def test_axes_are_what_the_board_has_measured() -> None:
    [cifar10] = sources_in([OLDER / "cifar10.json"])
    keys = {axis.key.split(".")[0] for axis in axes_of(cifar10.board)}
    assert {"gmacs_mean", "top1_pct", "robustness", "corruption", "speed"} <= keys
    labels = {axis.label for axis in axes_of(cifar10.board)}
    assert {"images/s, batch 64", "latency p50, ms a batch, batch 1", "robust accuracy at L∞ 1/255, percent"} <= labels
    assert {axis.key for axis in axes_of(digits().board)} < {axis.key for axis in axes_of(cifar10.board)} | {
        "training_gmacs"
    }


class Exits(Frozen):
    ece_pct: float = Field(description="expected calibration error, percent")
    shares: tuple[float, ...] = Field(description="share of the images that leave at each exit; null: none")
    judged: bool = True


def test_a_plug_ins_numbers_are_axes_and_its_lists_are_pictures() -> None:
    found = {"a": Exits(ece_pct=2.5, shares=(0.5, 0.3, 0.2)), "b": Exits(ece_pct=1.0, shares=(0.9, 0.1))}
    axes = list(axes_of_summaries("exits", found, Exits, {"ece_pct": False}))
    assert [axis.key for axis in axes] == ["exits.ece_pct", "exits.shares.0", "exits.shares.1", "exits.shares.2"]
    assert (axes[0].label, axes[0].higher_is_better) == ("expected calibration error, percent", False)
    [picture] = pictures_of("a", None, axes)
    assert picture.title == "share of the images that leave at each exit"
    assert [row["y"] for row in picture.rows] == [0.5, 0.3, 0.2]
    assert picture.kind == "bars"


def test_the_tier_says_what_lies_beside_the_board(tmp_path: Path) -> None:
    for name in ("digits.json", "digits.per_sample.jsonl", "digits.runs.jsonl"):
        shutil.copy(BOARDS / name, tmp_path)
    assert tiers_of(tmp_path) == {CHECKED}
    (tmp_path / "digits.runs.jsonl").unlink()
    (tmp_path / "digits.per_sample.jsonl").unlink()
    assert tiers_of(tmp_path) == {SELF_REPORTED}


def tiers_of(folder: Path) -> set[str]:
    [source] = sources_in([folder / "digits.json"])
    return {row.tier for row in sheet_of(source).rows}


def test_entries_that_differ_in_their_seed_are_known_as_such() -> None:
    source = digits()
    [together] = sheet_of(source).seeds
    assert [source.board.entries[place].record_id for place in together] == list(source.board.seeds[0].record_ids)
    assert "Over training seeds" in board_page(source, sheet_of(source)).decode()


def test_papers_rows_are_hollow_and_on_no_front() -> None:
    source = digits()
    drawn = front_with_rows(sheet_of(source))["datasets"]["rows"]
    [paper] = [row for row in drawn if row["paper"]]
    assert (paper["front"], paper["x_low"], paper["settings"]) == (False, None, "A paper, Table 1")
    assert '<svg class="mark m6 hollow"' in board_page(source, sheet_of(source)).decode()


def test_marks_are_seen_on_dark() -> None:
    for method in ("dense", "dvt", "mia", "avit", "atc", "somebody's"):
        assert contrast(mark_of(method).dark, DARK) >= 4.5
        assert mark_of(method).path.startswith("M")


def test_boards_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "run").mkdir(parents=True)
        (tmp_path / name / "run" / "leaderboard.json").write_bytes((BOARDS / "digits.json").read_bytes())
    (tmp_path / "Assets.json").write_bytes((BOARDS / "digits.json").read_bytes())
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run" / "leaderboard.json", tmp_path / "Assets.json"]
    assert [source.name for source in sources_in(paths)] == ["Assets-board", "run", "run-2"]


def test_an_older_build_is_replaced_and_other_files_are_not(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    place.mkdir()
    (place / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="no pages of ours"):
        build_site([digits()], place)
    (place / "thesis.tex").rename(tmp_path / "thesis.tex")
    (place / "site.json").write_text("{}")
    (place / "gone.html").write_text("of a board that is no more")
    build_site([digits()], place)
    assert not (place / "gone.html").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["site", "thesis.tex"], "nothing is left beside it"


def test_a_place_where_no_pages_can_go_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place, said in (("../file", "--output must be a folder"), (".", "you stand in it"), ("..", "no pages of ours")):
        assert main(["site", str(BOARDS / "digits.json"), "-o", place]) == 2
        assert said in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "here"]


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", str(BOARDS / "imagenet-controls.json"), "-o", str(tmp_path / "site")]) == 0
    assert "1 board, 17 entries" in capsys.readouterr().out
    assert (tmp_path / "site" / "imagenet-controls" / "index.html").is_file()


@pytest.mark.parametrize("missing", ["altair", "jinja2", "vl_convert"])
def test_a_missing_library_says_how_it_is_installed(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["site", str(BOARDS / "digits.json"), "-o", str(tmp_path / "site")]) == 2
    assert 'pip install ".[site]"' in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_the_pages_in_the_repository_are_those_of_its_boards(tmp_path: Path) -> None:
    """Texts alone: charts are drawn by libraries that have versions of their own."""
    published = BOARDS.parent / "docs" / "boards"
    assert main(["site", str(BOARDS), "--papers", str(BOARDS / "papers"), "-o", str(tmp_path / "made")]) == 0
    made = {file.relative_to(tmp_path / "made") for file in (tmp_path / "made").rglob("*") if file.is_file()}
    assert made == {file.relative_to(published) for file in published.rglob("*") if file.is_file()}
    for name in made:
        if name.suffix in (".html", ".csv", ".jsonl"):
            assert (tmp_path / "made" / name).read_bytes() == (published / name).read_bytes(), (
                f"{name}: run dynvit site leaderboards --papers leaderboards/papers -o docs/boards"
            )
