"""Blocks as pictures: what a split skips in each, and the tokens that each kept or merged of single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynvit.explain.canvas import bare, canvas, title_of
from dynvit.interface import BlockWork, Explanation
from dynvit.leaderboard.palette import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEANS = {
    "depth": "depth: images that skip the block",
    "heads": "heads: dropped where it runs",
    "tokens": "tokens: dropped where it runs",
}
VEIL, CLEAR = 0.86, 0.12  # grey of what was dropped, and how much of the image still shows through it
EDGE, CELL, LINE = 0.84, 0.9, 1.36  # of a tile, with the gap beside it, with name and numbers; inches
LEFT, HEAD, NAME = 0.15, 0.2, 0.22  # margin, a line of a title, room for a row's name; inches


def draw_skip_ratios(ratios: Mapping[str, NDArray[np.float64]], title: str) -> Figure:
    """What each block skips, a bar a granularity (MIA-Former, arXiv 2112.11542, Fig. 4).

    A granularity of which nothing is skipped anywhere is left out. Units: parts of 1.
    """
    import seaborn

    shown = [name for name, ratio in ratios.items() if np.nan_to_num(ratio).any()] or list(ratios)[-1:]
    blocks = np.arange(len(next(iter(ratios.values()))))
    colours = dict(zip(ratios, seaborn.color_palette("crest_r", len(ratios)), strict=True))
    with canvas(7.6, 3.8) as figure:
        axes = figure.add_subplot()
        width = 0.8 / len(shown)
        for place, name in enumerate(shown):
            left = blocks + 1 + (place - (len(shown) - 1) / 2) * width
            axes.bar(left, 100 * np.nan_to_num(ratios[name]), 0.92 * width, color=colours[name], label=MEANS[name])
        axes.set_xlabel("block")
        axes.set_ylabel("skipped (%)")
        axes.set_xticks(blocks + 1)
        axes.set_xlim(0.4, len(blocks) + 0.6)
        axes.set_ylim(0, 100)
        axes.grid(False, axis="x")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        title_of(axes, title)
        figure.legend(loc="outside lower center", ncols=len(shown), frameon=False, fontsize="small")
    return figure


def draw_kept(
    images: Sequence[NDArray[np.uint8]],
    found: Sequence[Explanation],
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """A row an image: it, then what each block kept of it, the rest veiled (arXiv 2112.11542, Fig. 5).

    Patches that were merged have the mean colour of their token (arXiv 2210.09461, Fig. 4). Under a tile stand the
    heads and the tokens; a skipped block is a dashed frame.

    Shape: images (H, W, 3), as the model saw them.
    """
    most = max(len(explanation.blocks) for explanation in found)
    heads = title.splitlines()
    top = HEAD * (len(heads) + 1) + 0.1
    width, height = 2 * LEFT + (most + 1) * CELL, top + len(images) * LINE
    with canvas(width, height, layout=None) as figure:

        def write(text: str, left: float, above: float, **look: Any) -> None:
            figure.text(left / width, 1 - above / height, text, va="bottom", parse_math=False, **look)

        for line, head in enumerate(heads, 1):
            write(head, LEFT, HEAD * line, fontsize="x-small", color=FAINT)
        for column in range(1, most + 1):
            write(f"block {column}", LEFT + column * CELL + EDGE / 2, top, fontsize=7, color=FAINT, ha="center")
        for line, (image, explanation, name) in enumerate(zip(images, found, names, strict=True)):
            above = top + line * LINE + NAME
            write(name, LEFT, above - 0.04, fontsize="x-small", fontweight="bold")
            for column, block in enumerate((None, *explanation.blocks)):
                left, below = (LEFT + column * CELL) / width, 1 - (above + EDGE) / height
                axes = figure.add_axes((left, below, EDGE / width, EDGE / height))
                bare(axes)
                if block is None:
                    axes.imshow(image, interpolation="nearest")
                else:
                    _tile(axes, image, block)
    return figure


def veiled(image: NDArray[np.uint8], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The image with what was not kept under a veil. Shape: (H, W, 3), (rows, columns) → (H, W, 3), in [0, 1]."""
    rows, columns = _cells(image, kept.shape)
    clear = np.where(kept[rows][:, columns], 1.0, CLEAR)[..., None]
    return clear * (image / 255) + (1 - clear) * VEIL


def averaged(image: NDArray[np.uint8], groups: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The image with each token of several patches in the mean colour of its pixels.

    Shape: (H, W, 3), groups (rows, columns), −1 where a patch was dropped → (H, W, 3).
    """
    rows, columns = _cells(image, groups.shape)
    tokens = groups[rows][:, columns]
    flat = tokens.ravel() + 1
    pixels = np.maximum(np.bincount(flat), 1)
    sums = [np.bincount(flat, weights=image[..., channel].ravel()) for channel in range(3)]
    means = (np.stack(sums, 1) / pixels[:, None])[flat].reshape(image.shape)
    several = (np.bincount(groups.ravel() + 1)[flat] > 1).reshape(tokens.shape) & (tokens >= 0)
    return np.where(several[..., None], means.round(), image).astype(np.uint8)


def _cells(image: NDArray[np.uint8], grid: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """The row and the column of the grid that each row and column of pixels lies in."""
    return [np.arange(size) * cells // size for size, cells in zip(image.shape[:2], grid, strict=True)]


def _tile(axes: Axes, image: NDArray[np.uint8], block: BlockWork) -> None:
    if not block.ran:
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT, linestyle=(0, (3, 3)), linewidth=1)
        axes.set_xlabel("skipped", fontsize=6, color=FAINT, labelpad=2)
        return
    if block.groups is None:
        shown = veiled(image, block.kept.numpy())
    else:
        groups = block.groups.numpy()
        shown = veiled(averaged(image, groups), groups >= 0)
    axes.imshow(shown, interpolation="nearest")
    numbers = f"{block.heads} of {block.all_heads} heads\n{int(block.kept.sum())} of {block.kept.numel()} tokens"
    axes.set_xlabel(numbers, fontsize=5.5, labelpad=2, linespacing=1.15)
