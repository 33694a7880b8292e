"""Pictures of boards: one look a method everywhere, staircases, limits that show differences, the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynvit.figures import INK, write_figure
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.drawing import Mark, by_checkpoint, lowest_shown, staircase, with_dominated_faint
from dynvit.leaderboard.figure import draw, rows
from dynvit.leaderboard.palette import FIXED, style_of
from dynvit.leaderboard.paper import PaperRow
from dynvit.measurements.base import measurements
from dynvit.measurements.robustness.figure import telling
from dynvit.measurements.robustness.summary import RobustnessOverview, RobustnessSummary
from dynvit.report import read_board

BOARDS, OLDER = Path(__file__).parents[2] / "leaderboards", Path(__file__).parents[1] / "boards"
MEASURED = ("robustness", "speed", "corruption")
MARKS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 99)).map(lambda xy: Mark(*xy, xy[1], xy[1])), min_size=1)


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return read_board(OLDER / "cifar10.json")


def texts(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_name_has_one_style_and_those_that_the_field_knows_share_none() -> None:
    assert style_of("dense") == (INK, "*")
    assert len(set(FIXED.values())) == len(FIXED)
    assert style_of("topk") == style_of("topk") == FIXED["topk"]


@given(st.text(min_size=1).filter(lambda name: name not in FIXED))
def test_an_unknown_name_takes_no_style_that_is_fixed(name: str) -> None:
    assert style_of(name) == style_of(name)
    assert style_of(name) not in FIXED.values()
    assert style_of(name).marker != "*"


def test_an_unknown_name_keeps_its_style_for_ever() -> None:
    assert style_of("mymethod") == ("#CC6677", "s")


@pytest.mark.parametrize("name", ["cifar10", "digits", "imagenet-controls"])
def test_a_method_looks_the_same_in_every_picture_of_every_board(name: str) -> None:
    board = read_board(BOARDS / f"{name}.json")
    figures = [draw(board), *(figure for what in MEASURED if (figure := measurements.get(what).figure(board)))]
    for figure in figures:
        for legend in figure.legends:
            for text, line in zip(legend.get_texts(), legend.legend_handles, strict=True):
                method = text.get_text().split(" (")[0]
                if method in FIXED:
                    assert (line.get_color(), line.get_marker()) == style_of(method)


@given(MARKS)
def test_a_staircase_is_the_best_accuracy_within_each_budget(marks: list[Mark]) -> None:
    x, y = staircase(marks, until=10)
    assert y == sorted(y)
    assert x == sorted(x)
    for left, right, level in zip(x[::2], x[1::2], y[::2], strict=True):
        for budget in (left, (left + right) / 2):
            assert level == max(mark.y for mark in marks if mark.x <= budget)


@given(MARKS)
def test_faint_marks_are_those_below_the_staircase(marks: list[Mark]) -> None:
    for mark in with_dominated_faint(marks):
        assert mark.faint == any((m.x <= mark.x and m.y >= mark.y) and (m.x < mark.x or m.y > mark.y) for m in marks)


@given(st.lists(MARKS, min_size=1, max_size=4))
def test_every_checkpoint_is_in_view_with_its_best_point(groups: list[list[Mark]]) -> None:
    groups = [with_dominated_faint(marks) for marks in groups]
    bottom = lowest_shown(groups)
    assert all(bottom <= max(mark.y for mark in marks) for marks in groups)


def test_what_lies_far_below_does_not_press_the_rest_together_and_is_counted(board: Leaderboard) -> None:
    figure = draw(board)
    low, high = figure.axes[0].get_ylim()
    below = sum(entry.top1_pct < low for entry in board.entries)
    assert (65 < low < 75, high < 95) == (True, True)
    assert f"on the axis: {below} points below it" in texts(figure)


def test_points_close_together_are_all_in_view() -> None:
    marks = [with_dominated_faint([Mark(x, 70 + x, 0, 0) for x in range(8)])]
    assert lowest_shown(marks) == 70


def test_the_legend_names_a_method_once_and_explains_faint_marks_once(board: Leaderboard) -> None:
    assert len([own for own in by_checkpoint(board.entries) if own[0].method == "mia"]) == 3
    found = texts(draw(board))
    assert found.count("mia") == 1
    assert found.count("one line a checkpoint; faint: dominated within it") == 1


def test_papers_are_hollow_and_a_board_of_one_point_is_drawn(board: Leaderboard) -> None:
    claim = PaperRow(
        method="tome", label="ToMe", backbone="b", dataset="d", split="s", gmacs_mean=0.05, rule="fvcore",
        top1_pct=99.0, top5_pct=None, source="a paper",
    )  # fmt: skip
    one = board.model_copy(update={"entries": board.entries[:1], "methods": board.methods[:1], "paper": (claim,)})
    figure = draw(one)
    assert texts(figure) == ["hollow: a paper's claim", "dense (89.2 %)", "tome"]
    assert any(line.get_markerfacecolor() == "none" for line in figure.axes[0].lines)
    assert figure.axes[0].get_ylim()[1] > 99
    assert [row["provenance"] for row in rows(one)] == ["measured", "paper"]
    assert draw(one.model_copy(update={"paper": ()})) is not None


def test_the_robust_picture_has_three_panels_at_the_radii_that_tell_methods_apart(board: Leaderboard) -> None:
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    drawn = telling(board.summaries("robustness", RobustnessSummary), overview.fronts)
    assert [round(255 * front.eps, 2) for front in drawn] == [0.5, 1.0]
    figure = measurements.get("robustness").figure(board)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "clean accuracy",
        "robust accuracy at ε = 0.5/255",
        "robust accuracy at ε = 1/255",
    ]


@pytest.mark.parametrize("what", ["front", *MEASURED])
def test_the_same_board_gives_the_same_bytes_and_the_size_of_the_readme(board, what: str, tmp_path: Path) -> None:
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure = draw(board) if what == "front" else measurements.get(what).figure(board)
        assert figure.get_size_inches()[0] == pytest.approx(8.3)
        written.append(
            [write_figure(figure, folder / f"{what}.{kind}", dpi=200).read_bytes() for kind in ("png", "svg")]
        )
    assert written[0] == written[1]


def test_nothing_that_was_not_measured_is_drawn() -> None:
    board = read_board(BOARDS / "imagenet-controls.json")
    assert [measurements.get(what).figure(board) for what in MEASURED] == [None] * 3


@pytest.mark.parametrize("what", ["front", *MEASURED])
def test_nothing_lies_over_anything_that_is_written(board: Leaderboard, what: str) -> None:
    """Titles, labels and the legends, each with a place of its own."""
    figure = draw(board) if what == "front" else measurements.get(what).figure(board)
    figure.draw_without_rendering()
    written = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        written += [axes._left_title, axes.xaxis.label, axes.yaxis.label]
    written = [text for text in written if text.get_text()]
    boxes = [text.get_window_extent() for text in written]
    for i, one in enumerate(boxes):
        assert figure.bbox.x0 <= one.x0 < one.x1 <= figure.bbox.x1
        over = [written[j].get_text() for j in range(i + 1, len(boxes)) if one.overlaps(boxes[j])]
        assert not over, written[i].get_text()
