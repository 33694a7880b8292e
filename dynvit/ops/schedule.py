"""How many tokens are kept, and where: shares of the original count, or of the current one, and merge counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Literal

from dynvit.errors import InputError


def prune_blocks(depth: int, stages: int = 3) -> tuple[int, ...]:
    """The blocks at which tokens are dropped, evenly spread over the depth.

    DynamicViT, EViT and TokenReduction prune a ViT of 12 blocks at 3, 6 and 9 (arXiv 2106.02034, §3.2).

    >>> prune_blocks(12), prune_blocks(6, stages=2)
    ((3, 6, 9), (2, 4))

    Raises: ``InputError`` for fewer than 1 stage, or more than there are blocks after the first.
    """
    if not 1 <= stages < depth:
        raise InputError(f"stages must be 1 to {depth - 1} on a backbone of {depth} blocks, got {stages}")
    return tuple(depth * stage // (stages + 1) for stage in range(1, stages + 1))


def blocks_of(stages: Sequence[int], depth: int) -> tuple[int, ...]:
    """The blocks at which a method acts: those that its option ``stages`` lists, else ``prune_blocks``.

    >>> blocks_of((), 12), blocks_of((0, 4), 12)
    ((3, 6, 9), (0, 4))

    Raises: ``InputError`` for blocks that do not ascend, or that the backbone does not have.
    """
    if not stages:
        return prune_blocks(depth, min(3, depth - 1))
    if list(stages) != sorted(set(stages)) or not 0 <= stages[0] <= stages[-1] < depth:
        raise InputError(
            f"option stages must be ascending blocks of 0 to {depth - 1} on this backbone, got "
            f"{','.join(map(str, stages))}"
        )
    return tuple(stages)


def kept_counts(patches: int, ratio: float, stages: int = 3) -> tuple[int, ...]:
    """Patch tokens kept from each stage on: ⌊patches·ratio^s⌋, s = 1 … stages, and never less than one.

    Ratios are of the original count (arXiv 2106.02034, §4); the floor is of the float product, as in the
    published code.

    >>> kept_counts(196, 0.7)
    (137, 96, 67)
    """
    return tuple(max(1, int(patches * ratio**stage)) for stage in range(1, stages + 1))


def kept_from_block(patches: int, ratio: float, blocks: Sequence[int]) -> dict[int, int]:
    """Patches kept, by the block that drops the others; stages that drop nothing are left out.

    >>> kept_from_block(196, 0.7, (3, 6, 9)), kept_from_block(196, 1.0, (3, 6, 9))
    ({3: 137, 6: 96, 9: 67}, {})
    """
    counts = kept_counts(patches, ratio, len(blocks))
    return {block: count for block, count in zip(blocks, counts, strict=True) if count < patches}


def kept_of_current(tokens: int, ratio: float, rounding: Literal["ceil", "floor"] = "ceil") -> int:
    """Tokens kept of those that are there now, and never less than one.

    EViT takes the ceiling at each stage (arXiv 2202.07800), so that its counts are not those of ``kept_counts``.
    It is of the float product, as in the published code.

    >>> kept_of_current(196, 0.7), kept_of_current(138, 0.7), kept_of_current(138, 0.7, "floor")
    (138, 97, 96)
    """
    return max(1, ceil(ratio * tokens) if rounding == "ceil" else floor(ratio * tokens))


def decreasing(count: int, steps: int) -> tuple[int, ...]:
    """Counts that fall evenly from 2·count to 0, with ``count`` as their mean before rounding down.

    >>> decreasing(13, 12)
    (26, 23, 21, 18, 16, 14, 11, 9, 7, 4, 2, 0)
    """
    if steps == 1:
        return (count,)
    return tuple(int(2 * count - 2 * count * step / (steps - 1)) for step in range(steps))
