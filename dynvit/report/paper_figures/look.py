"""The look of pictures for papers: small type, thin lines, methods told apart by colour, marker and dash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from dynvit.figures import INK, drawable, new_figure
from dynvit.leaderboard.drawing import dress, legend_below
from dynvit.leaderboard.palette import FAINT, dash_of, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Width = Literal["column", "page"]
WIDTHS: tuple[Width, ...] = get_args(Width)
INCHES: Mapping[Width, float] = {"column": 3.25, "page": 6.75}
"""Of a column and of both, in the two-column styles of CVPR, ICCV, ICML and AAAI."""
HEIGHTS: Mapping[Width, float] = {"column": 2.25, "page": 2.9}
"""Of the picture without its legend."""
_SIZES: Any = {
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "axes.labelpad": 2.5,
    "hatch.linewidth": 0.5,
}
LINE, BAR, EDGE = 1.0, 0.6, 0.4
"""Widths of a curve, of an interval and of a marker's edge, points."""


@contextmanager
def paper_canvas(width: Width, legend_lines: int) -> Iterator[tuple[Figure, Axes]]:
    """A figure as wide as a column or a page, with axes, and room for so many lines of a legend."""
    from matplotlib.ticker import MaxNLocator

    height = HEIGHTS[width] + 0.125 * legend_lines
    with new_figure(INCHES[width], height, {**_SIZES, "axes.linewidth": 0.6, "grid.linewidth": 0.4}) as figure:
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr,call-arg]
        axes = figure.add_subplot()
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        yield figure, axes
        dress(axes)


def look_of(method: str) -> dict[str, Any]:
    """Colour, marker and dash of a method, as matplotlib's ``plot`` takes them."""
    style, dash = style_of(method), dash_of(method)
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": {"*": 7.5, "D": 3.4, "d": 4.2, "s": 3.7, "P": 4.4, "X": 4.4}.get(style.marker, 4.2),
        "markeredgecolor": "white",
        "markeredgewidth": EDGE,
        "linewidth": LINE,
        "linestyle": (0, dash) if dash else "-",
    }


def handle_of(method: str, label: str, *, line: bool = True, hollow: bool = False) -> Any:
    """An entry of the legend; its line is long enough to show the dash."""
    from matplotlib.lines import Line2D

    look = look_of(method) | ({} if line else {"linestyle": "none"})
    if hollow:
        look |= {"markerfacecolor": "none", "markeredgecolor": style_of(method).colour, "markeredgewidth": 0.8}
    text = drawable(label)
    return Line2D([], [], label=f" {text}" if text.startswith("_") else text, **look)


def columns_for(labels: Sequence[str], width: Width) -> int:
    """How many columns a legend has: of those that fit and need the fewest lines, the least."""
    inches = [0.4 + 0.05 * len(drawable(label)) for label in labels]  # a handle, and letters of this size
    fitting = [1]
    for columns in range(2, len(labels) + 1):
        lines, longer = divmod(len(labels), columns)  # so matplotlib fills them: the first ones are longer
        ends = [lines * (c + 1) + min(c + 1, longer) for c in range(columns)]
        widest = (max(inches[start:end]) for start, end in zip([0, *ends], ends, strict=False))
        if sum(widest) <= INCHES[width]:
            fitting.append(columns)
    return min(fitting, key=lambda columns: (-(-len(labels) // columns), columns))


def legend_lines(labels: Sequence[str], width: Width) -> int:
    """How many lines they take."""
    return -(-len(labels) // columns_for(labels, width)) if labels else 0


def put_legend(figure: Figure, handles: Sequence[Any], width: Width) -> None:
    """The legend below everything."""
    legend_below(
        figure, handles, columns=columns_for([handle.get_label() for handle in handles], width), handlelength=2.6
    )


def bars(axes: Axes, x: Sequence[float], y: Sequence[float], ends: Sequence[tuple[float, float]], colour: str) -> None:
    """Thin upright intervals."""
    spread = [[max(v - low, 0) for v, (low, _) in zip(y, ends, strict=True)]]
    spread.append([max(high - v, 0) for v, (_, high) in zip(y, ends, strict=True)])
    axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=BAR, alpha=0.75, zorder=2.4)


def dense_line(axes: Axes, level: float) -> None:
    """What the static backbone reaches."""
    axes.axhline(level, color=FAINT, linewidth=0.7, linestyle=(0, (6, 3)), zorder=1)


def note(axes: Axes, text: str) -> None:
    """A few words in the corner where a front leaves room: below on the right."""
    axes.text(0.985, 0.03, drawable(text), transform=axes.transAxes, ha="right", va="bottom", fontsize=6, color=INK)
