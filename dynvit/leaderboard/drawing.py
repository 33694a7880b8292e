"""What all pictures of a board share: the look, a staircase for each checkpoint, faint marks, a legend below."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from dynvit.figures import drawable, new_figure
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.front import non_dominated
from dynvit.leaderboard.palette import FAINT, Style, style_of
from dynvit.progress import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.3
"""Inches of every picture: at the 830 pixels that GitHub's README shows, a point of type is 1.4 pixels."""
_SIZES: Any = {
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
}
_DIM = 0.5


class Mark(NamedTuple):
    """One point of a picture: where it stands, the ends of its 95 % interval, and whether it is faint."""

    x: float
    y: float
    low: float
    high: float
    faint: bool = False


@contextmanager
def canvas(height: float) -> Iterator[Figure]:
    """A figure as wide as all of a board's, with room at its edges. Units: inches."""
    with new_figure(WIDTH, height, _SIZES) as figure:
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.07)  # type: ignore[union-attr,call-arg]
        yield figure


def by_checkpoint(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries of each checkpoint of each method, and of each choice of its options, in the order they come."""
    found: dict[tuple[str, str | None, str], list[Entry]] = {}
    for entry in entries:
        key = (entry.method, entry.checkpoint_sha256, json.dumps(entry.options, sort_keys=True))
        found.setdefault(key, []).append(entry)
    return list(found.values())


def ranked(board: Leaderboard) -> list[str]:
    """The board's methods: the static backbone first, then by falling hypervolume of their fronts."""
    static = {entry.method for entry in board.entries} - {e.method for e in board.entries if not e.baseline}
    return [m.name for m in sorted(board.methods, key=lambda m: (m.name not in static, -m.hypervolume, m.name))]


def with_dominated_faint(marks: Sequence[Mark]) -> list[Mark]:
    """The marks, faint where another is at least as good in x (less) and y (more) and better in one."""
    if not marks:
        return []
    keep = non_dominated([(mark.x, mark.y) for mark in marks], minimise=(True, False))
    return [mark._replace(faint=not on_front) for mark, on_front in zip(marks, keep, strict=True)]


def staircase(marks: Sequence[Mark], until: float) -> tuple[list[float], list[float]]:
    """What a checkpoint reaches at a budget: from each non-dominated mark level to the next, the last to ``until``.

    >>> staircase([Mark(2, 70, 0, 0), Mark(1, 60, 0, 0), Mark(3, 65, 0, 0)], until=4)
    ([1, 2, 2, 4], [60, 60, 70, 70])
    """
    front = sorted({(mark.x, mark.y) for mark in with_dominated_faint(marks) if not mark.faint})
    x, y = [front[0][0]], [front[0][1]]
    for here_x, here_y in front[1:]:
        x += [here_x, here_x]
        y += [y[-1], here_y]
    return ([*x, until], [*y, y[-1]]) if until > x[-1] else (x, y)


def draw_marks(
    axes: Axes, marks: Sequence[Mark], style: Style, *, hollow: bool = False, bars: float = 0.7, size: float = 1.0
) -> None:
    """Marks with thin intervals; faint ones lie behind and have none.

    ``bars`` is the intervals' opacity, 0 for none; ``size`` a factor; ``hollow`` marks have no intervals.
    """
    clear = [mark for mark in marks if not mark.faint]
    if bars and not hollow:
        spread = [[max(m.y - m.low, 0.0) for m in clear], [max(m.high - m.y, 0.0) for m in clear]]
        axes.errorbar(
            [m.x for m in clear], [m.y for m in clear], yerr=spread, fmt="none", ecolor=style.colour, elinewidth=1.1,
            alpha=bars, zorder=2.5,
        )  # fmt: skip
    order = 5 if style.marker == "*" else 4
    for some, look in ((clear, {"zorder": order}), ([m for m in marks if m.faint], {"alpha": _DIM, "zorder": 3})):
        drawn = {**_look(style, hollow, size), **look}
        axes.plot([m.x for m in some], [m.y for m in some], linestyle="none", **drawn)


def draw_stairs(axes: Axes, marks: Sequence[Mark], style: Style, until: float) -> None:
    """The staircase of one checkpoint: what it holds is strong, the risers between are light."""
    x, y = staircase(marks, until)
    axes.plot(x, y, color=style.colour, linewidth=1.1, alpha=0.3, zorder=2.2)
    axes.hlines(y[::2], x[::2], [*x[1::2], x[-1]][: len(x[::2])], color=style.colour, linewidth=1.7, zorder=2.8)


def handle(style: Style, label: str, *, line: bool = True, hollow: bool = False, faint: bool = False) -> Any:
    """An entry of the legend."""
    from matplotlib.lines import Line2D

    label = drawable(label)
    label = f" {label}" if label.startswith("_") else label  # matplotlib leaves such out of legends

    drawn = {**_look(style, hollow), "alpha": _DIM if faint else 1}
    stairs = line and style.marker != "*"
    return Line2D([], [], linewidth=1.6, linestyle="-" if stairs else "none", label=label, **drawn)


def legend_below(
    figure: Figure, handles: Sequence[Any], notes: Sequence[Any] = (), *, columns: int | None = None, **more: float
) -> None:
    """The methods below everything, where nothing that is plotted can lie under them; below them what marks mean.

    Args:
        figure: Where.
        handles: Of the methods.
        notes: Of what marks mean.
        columns: Methods beside each other; None: as many as their names leave room for in a picture of full width.
        more: What else matplotlib's legends take.
    """
    look: dict[str, Any] = {"frameon": False, "handletextpad": 0.5, "columnspacing": 1.6, "borderaxespad": 0.2} | more
    taken = 0.0
    columns = columns or (4 if any(len(each.get_label()) > 14 for each in handles) else 6)
    for shown, across in ((notes, min(2, len(notes))), (handles, min(columns, len(handles)))):
        if not shown:
            continue
        above = (0.0, taken, 1.0, 1.0 - taken)
        legend = figure.legend(handles=list(shown), loc="lower center", ncols=across, bbox_to_anchor=above, **look)
        legend.set_in_layout(False)
        taken += legend.get_window_extent(figure.canvas.get_renderer()).height / figure.bbox.height  # type: ignore[attr-defined]
    figure.get_layout_engine().set(rect=(0, taken, 1, 1 - taken))  # type: ignore[union-attr,call-arg]


def lowest_shown(groups: Sequence[Sequence[Mark]], claims: Sequence[Mark] = ()) -> float:
    """The accuracy from which the picture shows points where they are.

    All of them, unless some lie so far below the others that these would be pressed together: further below the lower
    quartile of what is on the checkpoints' fronts than 1.5 interquartile ranges (Tukey's fence). The best point of
    each checkpoint, and what papers claim, is always shown.

    Units: percent.
    """
    import numpy as np

    front = [mark.y for marks in groups for mark in marks if not mark.faint]
    lowest = min([mark.y for marks in groups for mark in marks] + [claim.y for claim in claims])
    first, third = np.quantile(front, [0.25, 0.75])
    must = min([max(mark.y for mark in marks) for marks in groups] + [claim.y for claim in claims])
    fence = min(float(first - 1.5 * (third - first)), must)
    shown = min([y for y in front if y >= fence] + [must])
    return lowest if max(front) - shown > 0.75 * (max(front) - lowest) else shown


def limit(axes: Axes, marks: Sequence[Mark], bottom: float) -> None:
    """Room for every mark's GMACs, and for the accuracy of those from ``bottom`` up."""
    shown = [mark for mark in marks if mark.y >= bottom]
    low = min(mark.y if mark.faint else max(mark.low, bottom - 1.5) for mark in shown)
    high = max(mark.y if mark.faint else mark.high for mark in shown)
    room = 0.05 * max(high - low, 0.5)
    axes.set_ylim(max(low - 1.6 * room, -2.0), high + room)
    left, right = min(mark.x for mark in marks), max(mark.x for mark in marks)
    room = 0.04 * (right - left or right)
    axes.set_xlim(left - room, right + room)


def put_on_axis(axes: Axes, groups: Sequence[tuple[str, Sequence[Mark]]], bottom: float) -> int:
    """Put what lies below ``bottom`` on the lower edge, small. Returns how many these are."""
    hidden = [(mark.x, style_of(method)) for method, marks in groups for mark in marks if mark.y < bottom]
    for x, style in hidden:
        axes.plot(
            [x], [0], transform=axes.get_xaxis_transform(), color=style.colour, marker=style.marker, markersize=5.5,
            linestyle="none", markeredgecolor="white", markeredgewidth=0.6, zorder=4, clip_on=False,
        )  # fmt: skip
    return len(hidden)


def notes_on(faint: bool, below: int) -> list[Any]:
    """Entries of the legend that say what faint marks are, and how many lie below the picture."""
    grey, notes = Style(FAINT, "o"), []
    if faint:
        notes.append(handle(grey, "one line a checkpoint; faint: dominated within it", line=False, faint=True))
    if below:
        points = counted(below, "point")
        notes.append(handle(grey, f"on the axis: {points} below it", line=False))
    return notes


def dress(axes: Axes) -> None:
    """Two spines are enough."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def setting_of(board: Leaderboard) -> str:
    """Data set, split and backbone, for a title."""
    return drawable(f"{board.setting.dataset} {board.setting.split} · {board.setting.backbone}")


def thousands(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def span(counts: Iterable[int]) -> str:
    """The least and the most of counts, one number where they are alike."""
    found = sorted(counts)
    return " to ".join(map(thousands, dict.fromkeys((found[0], found[-1]))))


def _look(style: Style, hollow: bool, factor: float = 1.0) -> dict[str, Any]:
    size = {"*": 15.0, "D": 6.2, "d": 7.5, "s": 6.8, "P": 8.0, "X": 8.0}.get(style.marker, 7.5)
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": factor * size,
        "markerfacecolor": "none" if hollow else style.colour,
        "markeredgecolor": style.colour if hollow else "white",
        "markeredgewidth": 1.4 if hollow else 0.8,
    }
