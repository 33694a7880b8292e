"""Pictures for papers: of the width that is asked for, the same bytes each time, told apart in grey and to any eyes."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.palette import DASHES, FIXED, dash_of, style_of
from dynvit.leaderboard.papers import read_papers
from dynvit.leaderboard.spread import SeedSpread
from dynvit.report import read_board
from dynvit.report.listing import View
from dynvit.report.paper_figures import NAMES, PaperFigure, draw_front, draw_robust, write_paper_figure
from dynvit.report.paper_figures.look import INCHES, WIDTHS, columns_for
from dynvit.report.paper_figures.policies import draw_exits, draw_skips, shades_of

ROOT = Path(__file__).parents[1]
CIFAR10 = ROOT / "tests" / "boards" / "cifar10.json"

# How a colour reaches eyes that lack a kind of cone (Machado, Oliveira & Fernandes, 2009, severity 1), of linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "no blue cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def cielab(colour: str, eyes: str = "all cones") -> np.ndarray:
    """CIE L*a*b* of ``#rrggbb`` as such eyes see it: a distance of 2 is just seen beside each other."""
    sent = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(sent <= 0.04045, sent / 12.92, ((sent + 0.055) / 1.055) ** 2.4)
    x, y, z = TO_XYZ @ np.clip(EYES[eyes] @ linear, 0, 1) / np.array([0.95047, 1, 1.08883])
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def lightness(colour: str) -> float:
    return float(cielab(colour)[0])


@pytest.mark.parametrize(("one", "other"), list(combinations(FIXED, 2)))
def test_two_methods_differ_without_colour_and_to_any_eyes(one: str, other: str) -> None:
    mine, theirs = style_of(one), style_of(other)
    apart = min(np.linalg.norm(cielab(mine.colour, eyes) - cielab(theirs.colour, eyes)) for eyes in EYES)
    in_grey = abs(lightness(mine.colour) - lightness(theirs.colour))
    assert (mine.marker, dash_of(one)) != (theirs.marker, dash_of(other))
    if apart < 12 or in_grey < 4:  # colours that may be taken for each other
        assert dash_of(one) != dash_of(other)


def test_methods_that_share_most_pictures_differ_in_all_three() -> None:
    for one, other in combinations(("dense", "random", "topk", "dynamicvit", "dvt", "mia"), 2):
        mine, theirs = style_of(one), style_of(other)
        assert mine.marker != theirs.marker
        assert abs(lightness(mine.colour) - lightness(theirs.colour)) > 6
        assert min(np.linalg.norm(cielab(mine.colour, e) - cielab(theirs.colour, e)) for e in EYES) > 14


def test_every_line_stands_out_from_white() -> None:
    assert all(lightness(style.colour) < 76 for style in FIXED.values())


@given(some.text(min_size=1))
def test_any_method_has_a_dash_of_its_own_name(name: str) -> None:
    assert dash_of(name) == dash_of(name)
    assert dash_of(name) in DASHES


@pytest.mark.parametrize("count", range(2, 7))
def test_layers_darken_step_by_step(count: int) -> None:
    steps = np.diff([lightness(colour) for colour in shades_of(count)])
    assert (steps < -6).all()


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    (folder / "exit_shares.csv").write_text(
        "budget_gmacs,gmacs_mean,top1_pct,exit_1,exit_2,threshold_1\n1,0.9,80,0.9,0.1,0.2\n2,1.9,82,0.3,0.7,0.8\n"
    )
    (folder / "skip_ratios.csv").write_text("block,depth,heads,tokens\n1,0,0.25,0.1\n2,0,0.5,\n")
    return folder


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_as_wide_as_asked(name: str, width: str, explained: Path, tmp_path: Path) -> None:
    place = explained if name in ("exits", "skips") else CIFAR10
    file = tmp_path / "figure.png"
    assert main(["show", str(place), "--figure", name, "--width", width, "-o", str(file)]) == 0
    with Image.open(file) as image:
        assert image.width == pytest.approx(600 * INCHES[width], abs=1)
        assert image.height < image.width


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_the_same_board_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        asked = PaperFigure.asked("front", "column", tmp_path / f"{name}{suffix}", View())
        list(write_paper_figure(CIFAR10, asked))
        made.append(asked.output.read_bytes())
    assert made[0] == made[1]
    assert b"/Type3" not in made[0]  # letters are TrueType, as publishers ask


def test_the_picture_of_robustness_says_for_its_caption_which_points_it_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["show", str(CIFAR10), "--figure", "robust", "--pick", "0.7", "--where", "method=dvt"]
    assert main([*given, "-o", str(tmp_path / "r.svg")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("dvt: exits ≥ ")
    assert "% of dense" in said[0]
    assert said[1:] == [str(tmp_path / "r.svg")]


def test_robustness_is_of_the_entry_nearest_to_the_share() -> None:
    board = read_board(CIFAR10)
    figure = draw_robust(board, "column", 0.65)
    [axes] = figure.axes
    assert [line.get_marker() for line in axes.lines[:2]] == [style_of("dense").marker, style_of("dvt").marker]
    assert axes.get_xlabel() == "radius ε, L∞ (/255)"


def test_seeds_are_means_with_their_spread_and_papers_are_hollow() -> None:
    board = read_board(CIFAR10)
    dvt = [entry for entry in board.entries if entry.method == "dvt"][:2]
    spread = SeedSpread(
        method="dvt", options={}, target_gmacs=0.05, knobs=None, seeds=(0, 1),
        record_ids=tuple(entry.record_id for entry in dvt), top1_mean_pct=83.0, top1_sd_pct=1.0, gmacs_mean=0.05,
        gmacs_sd=0.001,
    )  # fmt: skip
    rows = [row for paper in read_papers(ROOT / "leaderboards" / "papers") for row in paper.rows][:1]
    row = rows[0].model_copy(update={"gmacs_mean": 0.06, "top1_pct": 85.0})
    figure = draw_front(board.model_copy(update={"seeds": (spread,), "paper": (row,)}), "page")
    [axes] = figure.axes
    colour = style_of("dvt").colour
    drawn = [line.get_xydata().tolist() for line in axes.lines if line.get_color() == colour]
    assert [[0.05, 83.0]] in drawn
    assert sorted([[e.gmacs_mean, e.top1_pct] for e in dvt]) in [sorted(points) for points in drawn]
    assert [0.06, 85.0] in [
        p for line in axes.lines if line.get_markerfacecolor() == "none" for p in line.get_xydata().tolist()
    ]


def test_nothing_is_skipped_is_drawn_too(explained: Path, tmp_path: Path) -> None:
    file = tmp_path / "skip_ratios.csv"
    file.write_text("block,depth,heads,tokens\n1,0,0,0\n")
    [axes] = draw_skips(file, "column").axes
    assert [bars.get_label() for bars in axes.containers] == ["depth skipped"]
    [axes] = draw_skips(explained / "skip_ratios.csv", "column").axes
    assert [bars.get_label() for bars in axes.containers] == ["heads dropped", "tokens dropped"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no row"),
        ("a,b\n1,2\n", "has no shares of exits"),
        ("gmacs_mean,exit_1\n1,many\n", "line 2 must hold numbers"),
        ("gmacs_mean,exit_1\n1,2,3\n", "line 2 must hold numbers"),
        ("gmacs_mean,exit_1\n1\n", "line 2 must hold numbers"),
        ("gmacs_mean,exit_1\nnan,0.5\n", "line 2 must hold numbers"),
        ("gmacs_mean,exit_1\n1,inf\n", "line 2 must hold numbers"),
    ],
)
def test_a_file_of_no_shares_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "exit_shares.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        draw_exits(tmp_path / "exit_shares.csv", "column")


@given(some.lists(some.text(max_size=60), min_size=1, max_size=20), some.sampled_from(WIDTHS))
def test_a_legend_never_has_more_columns_than_fit(labels: list[str], width) -> None:
    columns = columns_for(labels, width)
    assert 1 <= columns <= len(labels)
    assert columns == 1 or 0.4 * columns < INCHES[width]


def test_odd_names_are_drawn_as_text(tmp_path: Path) -> None:
    board = json.loads(CIFAR10.read_text())
    for entry in board["entries"]:
        entry["method"] = r"_$\frac{" if entry["method"] == "topk" else entry["method"]
    for method in board["methods"]:
        method["name"] = r"_$\frac{" if method["name"] == "topk" else method["name"]
    board.pop("sha256", None)
    (tmp_path / "b.json").write_text(json.dumps(board))
    for name in ("front", "robust", "latency"):
        assert main(["show", str(tmp_path / "b.json"), "--figure", name, "-o", str(tmp_path / f"{name}.pdf")]) == 0
