"""What all pictures of explanations share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dynvit.figures import new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure at the resolution of all explanations."""
    return write_figure(figure, path, dpi=160)


@contextmanager
def canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Iterator[Figure]:
    """A figure with the type of all explanations. Units: inches."""
    import seaborn

    with new_figure(width, height, seaborn.plotting_context("notebook", font_scale=0.9), layout) as figure:
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
