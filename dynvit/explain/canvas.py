"""What all pictures of explanations share: their look, and that the same input gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dynvit.files import write_whole
from dynvit.leaderboard.drawing import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
def canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
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


def colours(count: int) -> Any:
    """From light to dark, as work grows."""
    import seaborn

    return seaborn.color_palette("crest", count)


def title_of(axes: Axes, text: str) -> None:
    """What a picture shows, over its axes."""
    axes.set_title(text, loc="left", fontsize="medium", fontweight="bold", pad=10)


def bare(axes: Axes) -> None:
    """Axes for an image: no ticks, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
