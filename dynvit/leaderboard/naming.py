"""What an entry is called within its method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dynvit.leaderboard.board import Entry, Leaderboard


def short_ids(record_ids: Iterable[str], least: int = 4) -> dict[str, str]:
    """The beginnings that tell ids apart, all equally long.

    >>> short_ids(["0123456789abcdef", "0123999999abcdef"])["0123456789abcdef"]
    '01234'
    """
    ids = list(dict.fromkeys(record_ids))
    digits = next((size for size in range(least, 16) if len({name[:size] for name in ids}) == len(ids)), 16)
    return {name: name[:digits] for name in ids}


def point_names(board: Leaderboard) -> dict[str, str]:
    """By record id: the options, target and seed in which a method's checkpoints differ, then the point.

    A point is its knobs; several knobs that were solved for a budget are told by the budget, which says more.
    """
    by_method: dict[str, list[Entry]] = defaultdict(list)
    for entry in board.entries:
        by_method[entry.method].append(entry)
    names = {}
    for own in by_method.values():
        differing = [
            key
            for key in sorted({key for entry in own for key in entry.options})
            if any(entry.options.get(key) != own[0].options.get(key) for entry in own)
        ]
        targets = [None if differing or entry.training is None else entry.training.target for entry in own]
        seeds = [None if entry.training is None else entry.training.seed for entry in own]
        for entry, target, seed in zip(own, targets, seeds, strict=True):
            options = [f"{key}={entry.options.get(key)}" for key in differing]
            if target is not None and len(set(targets)) > 1:
                options.append(f"for {target:g}")
            if seed is not None and len(set(seeds)) > 1:
                options.append(f"seed {seed}")
            names[entry.record_id] = " ".join([*options, _point(entry)]).strip()
    return names


def _point(entry: Entry) -> str:
    if not entry.knobs:
        return "static" if entry.baseline else ""
    if entry.origin is not None:
        return " ".join([entry.origin, *(_short(value) for _, value in sorted(entry.knobs.items()))])
    if len(entry.knobs) > 1 and entry.target_gmacs is not None:
        return f"budget {entry.target_gmacs:.3g}"
    if len(entry.knobs) > 1 and len(set(entry.knobs.values())) == 1:
        return f"all knobs {_short(next(iter(entry.knobs.values())))}"
    return " ".join(f"{name}={_short(value)}" for name, value in sorted(entry.knobs.items()))


def _short(value: bool | float | str) -> str:
    """Three digits are enough to tell points apart."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
