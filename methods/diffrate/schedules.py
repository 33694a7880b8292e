"""DiffRate's counts: the published ones, and what lies between and beside them.

Numbers: compression_rate.json of OpenGVLab/DiffRate at 91ae3e3, by backbone and GMACs: tokens of 197 that are left in
each of 12 blocks after pruning, and after merging, the class token among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dynvit.errors import InputError

Counts = tuple[tuple[int, ...], tuple[int, ...]]
"""(left after pruning, left after merging), block by block."""

BETWEEN = 10
"""Levels from one published schedule to the next."""

PUBLISHED_TOKENS = 197

PUBLISHED: dict[str, dict[str, str]] = {
    "deit_tiny": {
        "0.6": "197,196,180,157,130,107,86,73,63,51,40,3/197,187,167,139,114,90,76,66,57,45,37,3",
        "0.7": "197,196,194,180,150,123,98,82,68,60,52,3/197,196,192,158,133,103,88,72,64,58,49,3",
        "0.8": "197,197,196,186,166,147,117,103,92,80,74,3/197,196,190,172,154,125,107,96,84,78,70,3",
        "0.9": "197,197,196,190,182,166,141,125,113,105,99,3/197,196,194,188,172,147,129,115,107,103,96,3",
        "1.0": "197,197,196,194,188,184,178,164,156,137,129,21/197,197,196,190,186,154,148,156,145,135,125,21",
    },
    "deit_small": {
        "2.3": "197,192,168,143,121,105,92,74,62,45,33,3/197,180,156,127,109,98,80,66,52,37,31,3",
        "2.5": "197,192,174,156,131,115,111,99,76,50,39,3/197,186,160,133,119,107,96,82,66,43,37,3",
        "2.7": "197,196,182,160,141,127,115,105,88,66,49,3/197,188,170,147,131,119,109,96,76,54,45,3",
        "2.9": "197,196,190,168,150,139,129,117,99,78,58,3/197,194,176,156,141,133,121,107,88,64,56,3",
        "3.1": "197,197,194,180,160,147,137,129,115,92,76,3/197,196,186,164,150,141,133,121,103,78,68,3",
    },
    "deit_base": {
        "8.7": "197,192,172,156,131,107,90,72,56,33,17,3/197,178,162,141,115,96,78,60,47,21,13,3",
        "10.0": "197,194,182,168,148,129,113,101,82,49,25,3/197,186,174,156,137,117,105,90,66,31,19,3",
        "10.4": "197,196,188,174,156,141,121,103,90,58,25,3/197,190,184,164,145,131,107,94,74,31,21,3",
        "11.5": "197,197,197,188,170,154,139,123,107,72,43,3/197,197,192,178,158,145,127,111,94,50,35,3",
        "12.5": "197,197,196,192,184,170,154,139,129,94,58,3/197,196,194,190,176,160,145,131,115,68,47,3",
    },
}


def published(name: str) -> list[Counts]:
    """The schedules of a backbone, the cheapest first."""
    rows = (text.split("/") for text in PUBLISHED[name].values())
    return [(_numbers(prune), _numbers(merge)) for prune, merge in rows]


def nearest(width: int) -> str:
    """The backbone of the published schedules that is nearest in width.

    >>> nearest(384), nearest(48), nearest(1024)
    ('deit_small', 'deit_tiny', 'deit_base')
    """
    widths = {"deit_tiny": 192, "deit_small": 384, "deit_base": 768}
    return min(widths, key=lambda name: abs(np.log(widths[name] / width)))


def counts_at(schedules: Sequence[Counts], whole: int, level: int, depth: int, tokens: int, prefix: int = 1) -> Counts:
    """The counts at a level: every tenth is a schedule as it is, the last keeps everything, between them lie lines.

    Args:
        schedules: of ``whole`` tokens, the cheapest first.
        whole: the tokens that they were made for.
        level: 0 to ten times their number.
        depth: blocks of the backbone; schedules of another depth are read at the same share of it.
        tokens: of the backbone; counts are taken as shares of all.
        prefix: how many of them are no patches.

    Returns: counts that never rise, and leave one patch at least.

    >>> counts_at([((8, 4), (6, 2))], 8, 0, 2, 8), counts_at([((8, 4), (6, 2))], 8, 5, 2, 8)
    (((8, 4), (6, 2)), ((8, 6), (7, 5)))
    """
    place, step = divmod(level, BETWEEN)
    lines = []
    for which in (0, 1):
        shares = [np.asarray(counts[which]) / whole for counts in schedules]
        shares += [np.ones(len(shares[0]))] * 2
        line = shares[place] + (shares[place + 1] - shares[place]) * step / BETWEEN
        here, there = ((np.arange(n) + 0.5) / n for n in (depth, len(line)))
        lines.append(np.floor(tokens * np.interp(here, there, line) + 0.5).astype(int))
    prune, merge, left = list[int](), list[int](), tokens
    for pruned, merged in zip(*lines, strict=True):
        prune.append(min(max(prefix + 1, int(pruned)), left))
        left = min(max(prefix + 1, int(merged)), prune[-1])
        merge.append(left)
    return tuple(prune), tuple(merge)


def own(prune: Sequence[int], merge: Sequence[int], depth: int, tokens: int, prefix: int = 1) -> list[Counts]:
    """Counts that an option gives, as the one schedule.

    Args:
        prune: tokens left after pruning, block by block.
        merge: tokens left after merging.
        depth: blocks of the backbone.
        tokens: of the backbone.
        prefix: how many of them are no patches.

    Returns: one schedule. Raises: ``InputError`` for counts of another backbone.
    """
    for name, counts in (("prune", prune), ("merge", merge)):
        if len(counts) != depth or not all(prefix < count <= tokens for count in counts):
            raise InputError(
                f"option {name} must list {depth} counts of {prefix + 1} to {tokens} tokens for this backbone, one a "
                f"block; got {len(counts)}: {','.join(map(str, counts))}"
            )
    return [(tuple(prune), tuple(merge))]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))
