"""What an entry is called within its method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.record import JsonObject, Knobs
from dynvit.wording import PointToSay, Wording, plain_words, wording_of


def short_ids(record_ids: Iterable[str], least: int = 4) -> dict[str, str]:
    """The beginnings that tell ids apart, all equally long.

    >>> short_ids(["0123456789abcdef", "0123999999abcdef"])["0123456789abcdef"]
    '01234'
    """
    ids = list(dict.fromkeys(record_ids))
    digits = next((size for size in range(least, 16) if len({name[:size] for name in ids}) == len(ids)), 16)
    return {name: name[:digits] for name in ids}


def point_names(board: Leaderboard) -> dict[str, str]:
    """By record id: the options, target and seed in which a method's checkpoints differ, then the point in words.

    Every table, legend and page calls an entry so. Two decimals, or three where two leave points of a method alike; and
    where three do, the budget besides.
    """
    by_method: dict[str, list[Entry]] = defaultdict(list)
    for entry in board.entries:
        by_method[entry.method].append(entry)
    names: dict[str, str] = {}
    for method, own in by_method.items():
        trained, wording = _trained(own), wording_of(method)
        for decimals in (2, 3):
            points = [_point(entry, wording, decimals) for entry in own]
            said = [", ".join(filter(None, [*how, point])) for how, point in zip(trained, points, strict=True)]
            if len(set(said)) == len({(name, *sorted(e.knobs.items())) for e, name in zip(own, said, strict=True)}):
                break
        names |= {e.record_id: _with_budget(e, name, said.count(name)) for e, name in zip(own, said, strict=True)}
    return names


def point_in_words(method: str, knobs: Knobs, options: JsonObject, decimals: int = 2) -> str:
    """What a point is called: as the method says it, else by the names of its knobs.

    >>> point_in_words("tome", {"r": 8}, {})
    'r 8'
    """
    point = PointToSay(knobs, options, decimals)
    return wording_of(method)(point) or plain_words(point)


def _with_budget(entry: Entry, name: str, alike: int) -> str:
    if alike < 2 or entry.target_gmacs is None or "budget" in name:
        return name
    return f"{name}, budget {entry.target_gmacs:.3g}"


def _trained(own: Sequence[Entry]) -> list[list[str]]:
    """What of their trainings tells the entries of a method apart."""
    differing = [
        key
        for key in sorted({key for entry in own for key in entry.options})
        if any(entry.options.get(key) != own[0].options.get(key) for entry in own)
    ]
    targets = [None if differing or entry.training is None else entry.training.target for entry in own]
    seeds = [entry.seed for entry in own]
    found = []
    for entry, target, seed in zip(own, targets, seeds, strict=True):
        said = [_option(key, entry.options.get(key)) for key in differing]
        if target is not None and len(set(targets)) > 1:
            said.append(f"target {target:g}")
        if seed is not None and len(set(seeds)) > 1:
            said.append(f"seed {seed}")
        found.append(said)
    return found


def _option(name: str, value: JsonValue) -> str:
    """
    >>> _option("target", 0.7), _option("fuse", False), _option("dimensions", ["heads", "tokens"])
    ('target 0.7', 'no fuse', 'dimensions heads tokens')
    """
    word = name.replace("_", " ")
    if isinstance(value, bool):
        return word if value else f"no {word}"
    if isinstance(value, list):
        return f"{word} {' '.join(map(str, value))}".strip()
    return f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}"


def _point(entry: Entry, wording: Wording, decimals: int) -> str:
    if not entry.knobs:
        return "static" if entry.baseline else "one point"
    point = PointToSay(entry.knobs, entry.options, decimals)
    said = wording(point)
    if not said and len(entry.knobs) > 1 and entry.target_gmacs is not None:
        said = f"budget {entry.target_gmacs:.3g}"  # tells more than the names of several knobs
    return ", ".join(filter(None, [entry.origin, said or plain_words(point)]))
