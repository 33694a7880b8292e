"""Every picture's look and the rows behind it; the same input gives the same bytes, and no name is more than text."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dynvit.files import write_whole
from dynvit.plain import escaped, no_formula, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#2b2b2b"
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "text.parse_math": False,  # a name may hold dollars
    "axes.edgecolor": "#b5b5b5",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "axes.linewidth": 1.0,
    "svg.hashsalt": "dynvit",  # ids in the svg are random without it
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # letters as TrueType: publishers refuse matplotlib's own kind
}
# No date and no library version in the files: they would differ on every run.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
SUFFIXES = tuple(_METADATA)


@contextmanager
def new_figure(
    width: float, height: float, sizes: Mapping[str, Any], layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """A figure of its own, without pyplot: no global state, no window, no display needed.

    Args:
        width: Inches.
        height: Inches.
        sizes: matplotlib's settings of type and lines, such as ``font.size``.
        layout: Who places the axes: matplotlib, or with None the caller.
    """
    import matplotlib
    import seaborn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {**seaborn.axes_style("whitegrid"), **sizes, **_STYLE}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        yield figure
        _draw_only_text(figure)


def write_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a figure whole or not at all, as its name says: ``.png``, ``.svg`` or ``.pdf``."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=path.suffix[1:], dpi=dpi, metadata=_METADATA[path.suffix])
    write_whole(path, buffer.getvalue())
    return path


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """What is plotted as CSV: the columns in the order in which they first come, empty where there is no value.

    Numbers are numbers; a text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    import pandas as pd

    # As objects: a column with gaps would turn its counts and flags into fractions.
    table = pd.DataFrame([{_cell(key): _cell(value) for key, value in row.items()} for row in rows], dtype=object)
    write_whole(path, table.to_csv(index=False, lineterminator="\n").encode())
    return path


def drawable(text: str) -> str:
    """A text in the letters that the pictures' font has; others as their escapes."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(_STYLE["font.family"]))
    seen = visible(text, keep="\n")
    return "".join(c if c == "\n" or font.get_char_index(ord(c)) else escaped(c) for c in seen)


def _draw_only_text(figure: Figure) -> None:
    """Replace what cannot be drawn in everything that is written in a picture."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(drawable(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):
                formatter.seq = [drawable(label) for label in formatter.seq]


def _cell(value: Any) -> Any:
    return no_formula(value) if isinstance(value, str) else value
