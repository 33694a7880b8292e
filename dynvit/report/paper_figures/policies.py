"""What a model decides over a split: the shares of its exits, and what each block skips.

Drawn of the files that ``dynvit explain --dataset`` writes, so that a picture can be made again without the model.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dynvit.errors import InputError
from dynvit.figures import drawable
from dynvit.reading import read_bytes
from dynvit.report.paper_figures.look import EDGE, Width, legend_lines, paper_canvas, put_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXITS, SKIPS = "exit_shares.csv", "skip_ratios.csv"
HATCHES = ("", "//////", "....", "\\\\\\\\", "xxxx", "----")
"""One a layer: in grey, neighbours differ in lightness and in these."""
GRANULARITIES = ("depth", "heads", "tokens")


def draw_exits(file: Path, width: Width) -> Figure:
    """Which part of the images each exit answers, stacked, over the mean cost.

    Raises: ``InputError`` for another file.
    """
    rows = _read(file, "explain a cascade with --dataset")
    exits = sorted((name for name in rows[0] if name.startswith("exit_")), key=lambda name: (len(name), name))
    if not exits or "gmacs_mean" not in rows[0]:
        raise InputError(f"{file} has no shares of exits: give the {EXITS} of dynvit explain --dataset, or its folder")
    _check(file, rows, ["gmacs_mean", *exits])
    rows.sort(key=lambda row: row["gmacs_mean"])
    cost = [row["gmacs_mean"] for row in rows]
    labels = [name.replace("_", " ") for name in exits]
    with paper_canvas(width, legend_lines(labels, width)) as (figure, axes):
        layers = axes.stackplot(
            cost, [[100 * row[name] for row in rows] for name in exits], colors=shades_of(len(exits)), labels=labels,
            edgecolor="white", linewidth=EDGE,
        )  # fmt: skip
        for layer, hatch in zip(layers, HATCHES, strict=False):
            layer.set_hatch(hatch)
        axes.set_xlabel("GMACs per image (mean)")
        axes.set_ylabel("images that leave (%)")
        axes.set(xlim=(cost[0], cost[-1] if cost[-1] > cost[0] else cost[0] + 1e-9), ylim=(0, 100))
        axes.grid(False)
        put_legend(figure, layers, width)
    return figure


def draw_skips(file: Path, width: Width) -> Figure:
    """What each block skips, a bar a granularity; one of which nothing is skipped is left out.

    Raises: ``InputError`` for another file.
    """
    rows = _read(file, "explain a method that decides blocks with --dataset")
    known = [name for name in GRANULARITIES if name in rows[0]]
    if not known or "block" not in rows[0]:
        raise InputError(f"{file} has no skip ratios: give the {SKIPS} of dynvit explain --dataset, or its folder")
    _check(file, rows, ["block"])
    names = [name for name in known if any(row[name] > 0 for row in rows)] or known[:1]
    labels = [f"{name} {'skipped' if name == 'depth' else 'dropped'}" for name in names]
    each = 0.82 / len(names)
    with paper_canvas(width, legend_lines(labels, width)) as (figure, axes):
        for place, (name, label, shade) in enumerate(zip(names, labels, shades_of(len(names)), strict=True)):
            left = [row["block"] + (place - (len(names) - 1) / 2) * each for row in rows]
            heights = [100 * (0.0 if math.isnan(row[name]) else row[name]) for row in rows]
            axes.bar(
                left, heights, each, color=shade, label=label, hatch=HATCHES[place], edgecolor="white", linewidth=EDGE
            )
        axes.set_xlabel("block")
        axes.set_ylabel("skipped (%)")
        axes.set_xticks([row["block"] for row in rows], [f"{row['block']:g}" for row in rows])
        axes.set(xlim=(rows[0]["block"] - 0.6, rows[-1]["block"] + 0.6), ylim=(0, 100))
        axes.grid(False, axis="x")
        put_legend(figure, axes.containers, width)
    return figure


def shades_of(count: int) -> Sequence[str]:
    """From light to dark, evenly in lightness: the same in grey and to any eyes."""
    import seaborn

    shades: Sequence[str] = seaborn.cubehelix_palette(count, start=0.5, rot=-0.5, light=0.8, dark=0.25).as_hex()
    return shades


def _check(file: Path, rows: list[dict[str, float]], names: Sequence[str]) -> None:
    """Raises: ``InputError`` where one of these is missing in a line, or is no number that can be drawn."""
    for line, row in enumerate(rows, 2):
        for name in names:
            if not math.isfinite(row.get(name, math.nan)):
                raise InputError(f"{file} line {line} must hold numbers, {name} among them")


def _read(file: Path, hint: str) -> list[dict[str, float]]:
    text = read_bytes(file, "file of shares").decode("utf-8", "replace")
    found = []
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        try:
            found.append({drawable(name): float(value or "nan") for name, value in row.items()})
        except (TypeError, ValueError, AttributeError) as error:  # a line has more, or fewer, values than the first
            raise InputError(f"{file} line {line} must hold numbers, one for each name: {error}") from error
    if not found:
        raise InputError(f"{file} has no row: {hint}")
    return found
