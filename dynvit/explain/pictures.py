"""Explanations as pictures, in the look of the leaderboard's: the same input, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dynvit.explain.exits import Departures, EasyHard
from dynvit.interface import Explanation
from dynvit.leaderboard.files import write_whole
from dynvit.leaderboard.render import FAINT, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRONG = "#d55e00"  # vermilion of the colour-blind palette
EDGE, CELL, LINE = 0.62, 0.68, 0.82  # of an image on a sheet, with the gap beside it, with the line below; inches
LEFT, TOP = 1.1, 0.7  # room for the classes' names and for the titles, inches
Named = Callable[[int], str]


def draw_shares(budgets: Sequence[float], shares: NDArray[np.float64], title: str) -> Figure:
    """Which part of the images each exit answers, stacked, over the budget. Units: GMACs an image, parts of 1."""
    with _figure(7.6, 4.2) as figure:
        axes = figure.add_subplot()
        exits = shares.shape[1]
        labels = [f"exit {k + 1}" for k in range(exits)]
        axes.stackplot(budgets, 100 * shares.T, labels=labels, colors=_colours(exits), linewidth=0)
        axes.set_xlabel("budget, GMACs per image (mean)")
        axes.set_ylabel("images that leave (%)")
        axes.set_xlim(min(budgets), max(budgets))
        axes.set_ylim(0, 100)
        axes.grid(False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        _title(axes, title)
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
    with _figure(width, height, layout=None) as figure:
        for line, row in enumerate(rows):
            below = height - TOP - (line + 1) * LINE + LINE - CELL
            figure.text((LEFT - 0.12) / width, (below + CELL / 2) / height, name_of(row.label), ha="right", va="center")
            for start, columns in ((0, row.easy), (each + 1, row.hard)):
                for place, column in enumerate(columns, start):
                    left = LEFT + place * CELL
                    axes = figure.add_axes((left / width, below / height, EDGE / width, EDGE / height))
                    _bare(axes)
                    axes.imshow(image_of(int(found.places[column])), interpolation="nearest")
                    _mark(axes, int(found.answers[point, column]), row.label, name_of)
        for start, head in heads.items():
            figure.text((LEFT + start * CELL) / width, 1 - 0.55 / height, head, fontweight="bold")
        figure.text(0.12 / width, 1 - 0.25 / height, title, fontsize="small", color=FAINT)
    return figure


def draw_explanations(images: Sequence[Image.Image], found: Sequence[Explanation], names: Sequence[str]) -> Figure:
    """A row an image: it, and beside it the first of its steps' numbers as bars."""
    most = max((len(values) for e in found for values in e.steps.values()), default=1)
    with _figure(7.6, 1.5 * len(images)) as figure:
        grid = figure.add_gridspec(len(images), 2, width_ratios=(1, 4))
        for line, (image, explanation, name) in enumerate(zip(images, found, names, strict=True)):
            shown = figure.add_subplot(grid[line, 0])
            _bare(shown)
            shown.imshow(image)
            axes = figure.add_subplot(grid[line, 1])
            axes.set_title(name, loc="left", fontsize="small", fontweight="bold")
            if not explanation.steps:
                _bare(axes)
                continue
            what, values = next(iter(explanation.steps.items()))
            steps = [f"step {k + 1}" for k in range(len(values))]
            bars = axes.barh(steps, list(values), color=_colours(most)[: len(values)], height=0.6)
            axes.bar_label(bars, fmt="%.3g", padding=3, fontsize="x-small")
            axes.set_xlabel(what, fontsize="x-small")
            axes.set_ylim(most - 0.5, -0.5)
            axes.set_xlim(0, 1.12 * max(1e-9, *values) if max(values) > 1 else 1)
            axes.tick_params(labelsize="x-small")
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
    return figure


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure whole or not at all, without date and version."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    write_whole(path, buffer.getvalue())
    return path


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write what is plotted; the first row names the columns."""
    import csv

    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, text.getvalue().encode())
    return path


@contextmanager
def _figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A figure of its own, without pyplot: no global state, no window, no display needed. Units: inches."""
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("notebook", font_scale=0.9), **STYLE}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def _colours(count: int) -> Any:
    """From light to dark, as work grows."""
    import seaborn

    return seaborn.color_palette("crest", count)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize="medium", fontweight="bold", pad=10)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _mark(axes: Axes, answer: int, label: int, name_of: Named) -> None:
    if answer == label:
        return
    for spine in axes.spines.values():
        spine.set(visible=True, color=WRONG, linewidth=2)
    axes.set_xlabel(name_of(answer), fontsize=6, color=WRONG, labelpad=1.5)
