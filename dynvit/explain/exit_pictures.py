"""Exits as pictures: shares over budgets, easy and hard images, the steps of single ones."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynvit.explain.canvas import bare, canvas, colours, title_of
from dynvit.explain.exits import Departures, EasyHard
from dynvit.interface import Explanation
from dynvit.leaderboard.palette import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRONG = "#d55e00"  # vermilion of the colour-blind palette
EDGE, CELL, LINE = 0.62, 0.68, 0.82  # of an image on a sheet, with the gap beside it, with the line below; inches
LEFT, TOP = 1.1, 0.7  # room for the classes' names and for the titles, inches
NAME_LENGTH = 12  # letters of a class's name in a line, which is what the room is for
Named = Callable[[int], str]


def draw_shares(budgets: Sequence[float], shares: NDArray[np.float64], title: str) -> Figure:
    """Which part of the images each exit answers, stacked, over the budget. Units: GMACs an image, parts of 1."""
    with canvas(7.6, 4.2) as figure:
        axes = figure.add_subplot()
        exits = shares.shape[1]
        labels = [f"exit {k + 1}" for k in range(exits)]
        axes.stackplot(budgets, 100 * shares.T, labels=labels, colors=colours(exits), linewidth=0)
        axes.set_xlabel("budget, GMACs per image (mean)")
        axes.set_ylabel("images that leave (%)")
        axes.set_xlim(min(budgets), max(budgets))
        axes.set_ylim(0, 100)
        axes.grid(False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        title_of(axes, title)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small", reverse=True)
    return figure


def draw_sheet(
    rows: Sequence[EasyHard],
    found: Departures,
    point: int,
    image_of: Callable[[int], Image.Image],
    name_of: Named,
    title: str,
) -> Figure:
    """A row a class: easy images left of the gap, hard ones right; a frame and the answer where it is wrong."""
    each = max((max(len(row.easy), len(row.hard)) for row in rows), default=1)
    width, height = LEFT + (2 * each + 1) * CELL, TOP + len(rows) * LINE
    heads = {0: "easy: the first exit answers", each + 1: f"hard: exit {found.count} answers"}
    with canvas(width, height, layout=None) as figure:
        for line, row in enumerate(rows):
            below = height - TOP - (line + 1) * LINE + LINE - CELL
            name = textwrap.fill(name_of(row.label), NAME_LENGTH)
            figure.text((LEFT - 0.12) / width, (below + CELL / 2) / height, name, ha="right", va="center")
            for start, columns in ((0, row.easy), (each + 1, row.hard)):
                for place, column in enumerate(columns, start):
                    left = LEFT + place * CELL
                    axes = figure.add_axes((left / width, below / height, EDGE / width, EDGE / height))
                    bare(axes)
                    axes.imshow(image_of(int(found.places[column])), interpolation="nearest")
                    _mark(axes, int(found.answers[point, column]), row.label, name_of)
        for start, head in heads.items():
            figure.text((LEFT + start * CELL) / width, 1 - 0.55 / height, head, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.25 / height, title, fontsize="small", color=FAINT)
    return figure


def draw_explanations(images: Sequence[Image.Image], found: Sequence[Explanation], names: Sequence[str]) -> Figure:
    """A row an image: it, and beside it the first of its steps' numbers as bars."""
    most = max((len(values) for e in found for values in e.steps.values()), default=1)
    with canvas(7.6, 1.5 * len(images)) as figure:
        grid = figure.add_gridspec(len(images), 2, width_ratios=(1, 4))
        for line, (image, explanation, name) in enumerate(zip(images, found, names, strict=True)):
            shown = figure.add_subplot(grid[line, 0])
            bare(shown)
            shown.imshow(image)
            axes = figure.add_subplot(grid[line, 1])
            axes.set_title(name, loc="left", fontsize="small", fontweight="bold", parse_math=False)
            if not explanation.steps:
                bare(axes)
                continue
            what, values = next(iter(explanation.steps.items()))
            steps = [f"step {k + 1}" for k in range(len(values))]
            bars = axes.barh(steps, list(values), color=colours(most)[: len(values)], height=0.6)
            axes.bar_label(bars, fmt="%.3g", padding=3, fontsize="x-small")
            axes.set_xlabel(what, fontsize="x-small")
            axes.set_ylim(most - 0.5, -0.5)
            axes.set_xlim(0, 1.12 * max(1e-9, *values) if max(values) > 1 else 1)
            axes.tick_params(labelsize="x-small")
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
    return figure


def _mark(axes: Axes, answer: int, label: int, name_of: Named) -> None:
    if answer == label:
        return
    for spine in axes.spines.values():
        spine.set(visible=True, color=WRONG, linewidth=2)
    axes.set_xlabel(name_of(answer), fontsize=6, color=WRONG, labelpad=1.5)
