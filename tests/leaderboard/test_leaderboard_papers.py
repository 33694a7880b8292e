"""Papers' rows are read, in range, told where they are from, and shown beside the boards that they belong to."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dynvit.cli import main
from dynvit.cost import rules
from dynvit.errors import InputError
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.papers import of_setting, read_paper, read_papers, with_papers
from dynvit.report import RunData, build_board, print_board, read_board
from dynvit.units import OUR_RULES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "leaderboards" / "papers"
FILES = sorted(FOLDER.glob("*.yaml"))
ASKED = {
    "DeiT",
    "DynamicViT",
    "DVT",
    "MIA-Former",
    "LeViT",
    "T2T-ViT",
    "ToMe",
    "EViT",
    "DiffRate",
    "A-ViT",
    "AdaViT",
    "ATS",
}
GOOD = (FOLDER / "levit.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_reads_and_every_number_is_in_range(file: Path) -> None:
    paper = read_paper(file)
    for row in paper.rows:
        assert 0.1 <= row.gmacs_mean <= 20
        assert 45 <= row.top1_pct <= 99
        assert row.top5_pct is None or row.top1_pct < row.top5_pct <= 100
        assert row.robust_pct is None or row.robust_pct < row.top1_pct
        assert (row.images_per_s is None) == (row.device is None)
        assert row.source.startswith(paper.paper)
        assert row.as_read == bool(re.search(r"Fig\.|figure", row.source))
    keys = [(row.label, row.source, row.dataset, row.gmacs_mean) for row in paper.rows]
    assert len(set(keys)) == len(keys)


def test_every_paper_that_is_compared_with_has_its_rows() -> None:
    assert {paper.paper for paper in read_papers(FOLDER)} >= ASKED


def test_a_models_cost_is_what_others_print_of_it_too() -> None:
    """GFLOPs of one backbone differ by rounding and by what is counted, never by a factor."""
    dense: dict[str, list[float]] = {}
    for row in (row for paper in read_papers(FOLDER) for row in paper.rows):
        whole = "token" not in row.label and row.dataset == "imagenet"
        if row.method == "dense" and whole and not row.backbone.startswith("PVT"):
            dense.setdefault(row.backbone, []).append(row.gmacs_mean)
    assert len(dense["deit_small_patch16_224"]) >= 4
    for costs in dense.values():
        assert max(costs) <= 1.06 * min(costs)


def test_no_row_of_all_of_imagenet_stands_beside_a_board_of_a_part_of_it(measure: Callable[..., Any]) -> None:
    papers = read_papers(FOLDER)
    whole = build_board(RunData([measure(n=50_000, correct=36_095)]))
    part = build_board(RunData([measure(n=1_300, correct=1_061)]))
    assert {row.label for row in with_papers(whole, papers).paper} >= {"DeiT-T", "A-ViT-T", "MCTF-T"}
    assert with_papers(part, papers).paper == ()
    rows = [row for paper in papers for row in paper.rows]
    assert of_setting(rows, read_board(ROOT / "leaderboards" / "cifar10.json").setting) == ()  # theirs: 224 pixels


@pytest.mark.parametrize(
    ("backbone", "row", "board", "stands"),
    [
        ("deit_tiny_patch16_224", {}, {}, True),
        ("deit_tiny_patch16_224", {}, {"image_size": (64, 64)}, False),
        ("deit_tiny_patch16_224", {"image_size": (64, 64)}, {"image_size": (64, 64)}, True),
        ("deit_tiny_patch16_224.fb_in1k", {}, {}, True),
        ("vit_base_patch16_clip_384", {}, {}, False),
        ("vit_base_patch16_clip_384", {}, {"image_size": (384, 384)}, True),
        ("levit_256", {}, {"image_size": (256, 256)}, False),  # 256 wide, of 224 pixels
        ("levit_256", {}, {}, False),
        ("levit_256", {"image_size": (224, 224)}, {}, True),
        ("deit_tiny_patch16_224", {"rule": "fvcore"}, {}, False),
        ("deit_tiny_patch16_224", {"rule": "fvcore"}, {"rule": "fvcore"}, True),
        ("deit_tiny_patch16_224", {"rule": "matmul+conv"}, {"rule": "fvcore"}, False),
        ("deit_tiny_patch16_224", {"rule": "as printed"}, {"rule": "fvcore"}, True),
    ],
)
def test_a_row_stands_beside_its_own_image_size_and_rule(
    measure: Callable[..., Any], backbone: str, row: dict[str, Any], board: dict[str, Any], stands: bool
) -> None:
    setting = build_board(RunData([measure(backbone=backbone)])).setting.model_copy(update=board)
    said = {"method": "tome", "label": "x", "backbone": backbone, "dataset": "imagenet", "split": "validation"}
    said |= {"gmacs_mean": 0.7, "rule": "as printed", "top1_pct": 71.0, "top5_pct": None, "source": "x"}
    assert len(of_setting([PaperRow(**said | row)], setting)) == stands


def test_our_rules_are_those_that_count() -> None:
    assert set(OUR_RULES) == {name for name, rule in rules.load_all().items() if rule.__module__ == "dynvit.cost"}


def test_every_row_of_a_backbone_that_we_know_says_its_size(measure: Callable[..., Any]) -> None:
    """At 224 pixels none is lost: LeViT's and T2T-ViT's names have no size, so their rows say it."""
    for row in (row for paper in read_papers(FOLDER) for row in paper.rows):
        if re.match(r"deit_|levit_|t2t_vit_|vit_", row.backbone):
            record = measure(backbone=row.backbone, dataset=row.dataset, n=row.n, correct=1)
            setting = build_board(RunData([record])).setting.model_copy(update={"rule": row.rule})
            assert of_setting([row], setting) == (row,)


def test_a_board_is_shown_with_its_papers_and_its_fronts_stay(measure: Callable[..., Any], tmp_path: Path) -> None:
    board = build_board(RunData([measure(n=50_000, correct=36_095), measure(gmacs=1.2, n=50_000, correct=1)]))
    shown = with_papers(board, read_papers(FOLDER))
    assert (shown.entries, shown.hypervolume) == (board.entries, board.hypervolume)
    console = Console(width=120, file=io.StringIO(), record=True)
    print_board(shown, console)
    text = console.export_text()
    assert "what papers print" in text
    assert "72.7" in text.split("what papers print")[1]
    shown.write(tmp_path / "board.json")
    assert read_board(tmp_path / "board.json").paper == shown.paper


def test_show_takes_a_folder_of_papers_or_one(
    measure: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_board(RunData([measure(n=50_000, correct=36_095)])).write(tmp_path / "board.json")
    assert main(["show", str(tmp_path / "board.json"), "--papers", str(FOLDER / "mctf.yaml")]) == 0
    assert "MCTF-Fast-T" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "board.json")]) == 0
    assert "MCTF" not in capsys.readouterr().out


def test_what_a_row_does_not_say_is_not_written() -> None:
    old = {"method", "label", "backbone", "dataset", "split", "gmacs_mean", "rule", "top1_pct", "top5_pct", "source"}
    row = PaperRow(
        **dict.fromkeys(old - {"gmacs_mean", "top1_pct"}, "x") | {"top5_pct": None}, gmacs_mean=1, top1_pct=2
    )
    assert set(row.model_dump()) == old | {"provenance"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("top1_pct: 80.0", "top1_pct: 800"), "rows.0.top1_pct"),
        (("top1_pct: 80.0", "top1_pct: eighty"), "rows.0.top1_pct"),
        (("top1_pct: 80.0", "top1_pct: .nan"), "rows.0.top1_pct"),
        (("gmacs_mean: 0.66", "gmacs_mean: -1"), "rows.0.gmacs_mean"),
        (("gmacs_mean: 0.66, ", ""), "rows.0.gmacs_mean"),
        (("page: null", "page: 0"), "page"),
        (("as MIA-Former's Table 1 prints it", ""), "source"),
        (("rows:", "lines:"), "a list of rows"),
        (("arxiv:", "archive:"), "arxiv"),
        (("common: {", "common: [{"), "paper"),
        (("common: {dataset: imagenet,", "common: {dataset: imagenet, colour: red,"), "colour"),
        (("method: dense", "method: 2026-01-01"), "date"),
        (("  - {", "  - 3 {"), "paper"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_it(tmp_path: Path, change: Any, says: str) -> None:
    assert change[0] in GOOD
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        read_paper(file)
    assert "wrong.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_papers_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no papers in"):
        read_papers(tmp_path)
