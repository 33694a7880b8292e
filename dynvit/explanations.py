"""How a prediction came about, as a method tells it: for one image, step by step and block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class BlockWork:
    """The work of one block for one image: whether it ran, on how many heads and on which patches.

    Shape: ``kept`` (rows, columns) of the grid, bool; all False where the block was skipped. ``groups``, of a method
    that merges patches, (rows, columns), int64: patches of one number are one token, −1 is dropped; ``kept`` is then
    True at one patch of each.
    """

    ran: bool
    heads: int
    all_heads: int
    kept: Tensor
    groups: Tensor | None = None


@dataclass(frozen=True)
class Explanation:
    """How the prediction for one image came about.

    ``answer`` is the predicted class; ``text`` one line on how it came about; ``steps`` the numbers behind it by name,
    one for each step that ran, in order; ``blocks`` the work of each block, for a method that decides it, else empty.

    Units: ``macs`` of this image.
    """

    answer: int
    text: str
    macs: int
    steps: Mapping[str, Sequence[float]] = field(default_factory=dict)
    blocks: Sequence[BlockWork] = ()
