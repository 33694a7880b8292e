"""From a run to a published entry that somebody else measures again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from package_helpers import dynvit, install

from dynvit.cli import main
from dynvit.leaderboard.digest import with_digest
from dynvit.leaderboard.store import RunStore
from dynvit.report import read_board
from dynvit.report.evidence import standings_in

ROOT = Path(__file__).parents[1]
BOARDS, OLDER, PACKAGE = ROOT / "leaderboards", ROOT / "tests" / "boards", ROOT / "tests" / "plugin_package"
START = BOARDS / "digits.models" / "start"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bench on published weights, off the shelf."""
    folder = tmp_path_factory.mktemp("bench") / "run"
    words = f"bench --methods dense,topk --weights {START} --points 2 --limit 80 -o {folder}"
    assert main(words.split()) == 0
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(file: Path, change: Any) -> None:
    first, *rest = file.read_text().splitlines()
    body = json.loads(first)
    change(body)
    file.write_text("\n".join([json.dumps(with_digest(body)), *rest, ""]))


def test_a_run_is_sent_in_checked_and_measured_again_by_somebody_else(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards = tmp_path / "leaderboards"
    before = contents(copy)
    assert main(["submit", str(copy), "-o", str(boards), "--dry-run"]) == 0
    assert contents(copy) == before
    assert not boards.exists()
    assert main(["submit", str(copy), "-o", str(boards)]) == 0
    said = capsys.readouterr()
    for words in ("## Entries", "## Training", "division off-the-shelf", "digits-vit_digits.json"):
        assert words in said.out
    assert (copy / "pull_request.md").read_text().strip() in said.out
    board = boards / "digits-vit_digits.json"
    assert read_board(board).entries == read_board(copy / "leaderboard.json").entries
    assert main(["validate", str(boards)]) == 0
    assert {one.tier for one in standings_in(board).values()} == {"evidence checked"}
    assert main(["submit", str(copy), "-o", str(boards)]) == 0
    assert "all of it is there already" in capsys.readouterr().err
    words = f"verify {board} --run {BOARDS / 'digits.models'} --limit 40 --write --by Ada"
    assert main(words.split()) == 0
    assert {one.tier for one in standings_in(board).values()} == {"re-measured"}
    assert main(["validate", str(boards)]) == 0


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("per_sample.jsonl", None, "per-sample results must lie in per_sample.jsonl"),
        ("runs.jsonl", lambda body: body.pop("training"), "training must"),
        ("runs.jsonl", lambda body: body["accuracy"].update(top1_ci95_low_pct=0.0), "accuracy.top1_ci95_low_pct must"),
        ("leaderboard.json", None, "has no leaderboard.json"),
    ],
)
def test_what_is_not_whole_is_refused_by_the_field_and_nothing_is_written(
    copy: Path, tmp_path: Path, file: str, change: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if change is None:
        (copy / file).unlink()
    else:
        edit(copy / file, change)
    if file != "leaderboard.json":  # a board that fits, as a hostile hand would make it
        merged = tmp_path / "again"
        if main(["merge", str(copy), "-o", str(merged)]) == 0:
            shutil.copy(merged / "leaderboard.json", copy)
    before = contents(copy)
    assert main(["submit", str(copy), "-o", str(tmp_path / "boards")]) == 2
    assert says in capsys.readouterr().err
    assert contents(copy) == before
    assert not (tmp_path / "boards").exists()


class TestVerify:
    def test_a_clone_measures_an_entry_again_with_no_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(BOARDS / "digits.json"), "--entry", "e002"]) == 0
        assert "agrees: none of 359 images differ" in capsys.readouterr().out

    def test_what_differs_is_told_and_ends_with_1(self, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A consistent lie: an image that was wrong is marked right, and all numbers follow."""
        from dynvit.leaderboard.interval import wilson
        from dynvit.leaderboard.per_sample import pack, read_per_sample

        [record] = [one for one in RunStore(copy / "runs.jsonl").read() if not one.point.knobs]
        bits = read_per_sample(copy)[record.record_id].bits()
        bits[~bits] = True

        def lie(body: dict[str, Any]) -> None:
            if body["record_id"] != record.record_id:
                return
            n = len(bits)
            low, high = wilson(n, n)
            body["accuracy"] |= {"n_correct": n, "top1_pct": 100.0, "top1_ci95_low_pct": low, "top5_pct": 100.0}
            body["accuracy"]["top1_ci95_high_pct"] = high

        for file, change in (("runs.jsonl", lie), ("per_sample.jsonl", lambda body: body.update(right=pack(bits)))):
            lines = (copy / file).read_text().splitlines()
            place = next(k for k, line in enumerate(lines) if json.loads(line)["record_id"] == record.record_id)
            body = json.loads(lines[place])
            change(body)
            lines[place] = json.dumps(with_digest(body))
            (copy / file).write_text("\n".join([*lines, ""]))
        (copy / "leaderboard.json").unlink()
        assert main(["merge", str(copy), "-o", str(copy)]) == 0
        assert main(["validate", str(copy)]) == 0
        capsys.readouterr()
        assert main(["verify", str(copy), "--run", str(BOARDS / "digits.models")]) == 1
        said = capsys.readouterr()
        assert said.out.count("DIFFERS") == 1
        assert "1 of the entries differ" in said.err

    def test_weights_that_are_not_here_are_said(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(run)]) == 1
        assert "are not here: say where by --run FOLDER or --weights FILE, or --train" in capsys.readouterr().out

    def test_digits_are_read_from_no_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(BOARDS / "digits.json"), "--entry", "e002", "--data-dir", "nowhere"]) == 2
        assert "digits comes with an installed package" in capsys.readouterr().err

    def test_an_entry_without_a_record_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(OLDER / "cifar10.json"), "--entry", "638c"]) == 1
        assert "its record is not published" in capsys.readouterr().out

    @pytest.mark.slow
    def test_the_whole_digits_board_is_measured_again(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(BOARDS / "digits.json")]) == 0
        out = capsys.readouterr().out
        assert out.count(": agrees: ") == len(read_board(BOARDS / "digits.json").entries)

    @pytest.mark.slow
    def test_what_nobody_kept_is_trained_again(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for file in BOARDS.glob("digits*.json*"):
            shutil.copy(file, tmp_path)
        assert main(["verify", str(tmp_path / "digits.json"), "--entry", "09cf", "--entry", "e002", "--train"]) == 0
        assert capsys.readouterr().out.count("agrees: trained again") == 2


@pytest.mark.slow
def test_a_strangers_package_goes_the_whole_way(tmp_path: Path) -> None:
    site = install(PACKAGE, tmp_path / "site")
    run, boards = tmp_path / "run", tmp_path / "leaderboards"
    small = f"--methods dense,pairs --weights {START} --limit 60 --points 2"
    dynvit(site, "bench", *small.split(), "-o", str(run))
    text = dynvit(site, "submit", str(run), "-o", str(boards))
    assert "| dynvit-pairs 0.3.1 |" in text
    assert "all valid" in dynvit(site, "validate", str(boards))
    board = str(boards / "digits-vit_digits.json")
    said = dynvit(site, "verify", board, "--run", str(START), "--write", "--by", "somebody else")
    assert said.count(": agrees: ") == len(read_board(board).entries)
    assert "re-measured" in dynvit(site, "show", board, "--format", "md", "--columns", "id,tier")
    dynvit(site, "site", board, "-o", str(tmp_path / "pages"))
    page = (tmp_path / "pages" / "digits-vit_digits" / "index.html").read_text("utf-8")
    assert page.count("pairs") > 2
    assert page.count(">re-measured<") >= len(read_board(board).entries)
