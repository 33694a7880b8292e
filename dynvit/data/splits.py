"""Which samples belong to which split: decided by hashing keys, so the same on every machine and version."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from dynvit.data.manifest import SplitInfo
from dynvit.errors import InputError

MAX_CALIBRATION = 5000


def ranked(names: Sequence[str], seed: int, purpose: str) -> list[int]:
    """Indices of ``names`` in an order that only ``seed`` and ``purpose`` decide; a fair shuffle.

    >>> ranked(["a", "b", "c"], 0, "demo") == ranked(["a", "b", "c"], 0, "demo")
    True
    >>> names = ["c", "a", "b"]  # the order of the list does not matter
    >>> [names[i] for i in ranked(names, 0, "demo")] == ["abc"[i] for i in ranked("abc", 0, "demo")]
    True
    """
    keys = [hashlib.sha256(f"{purpose}/{seed}/{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


def stratified(names: Sequence[str], labels: Sequence[int], fraction: float, seed: int, purpose: str) -> list[int]:
    """Indices of ``fraction`` of each class, ascending."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for index in ranked(names, seed, purpose):
        by_class[labels[index]].append(index)
    return sorted(i for members in by_class.values() for i in members[: round(fraction * len(members))])


def calibration_size(train: int, asked: int | None = None) -> int:
    """How many of ``train`` samples are held out: ``asked``, else a tenth, at most 5,000 and at least one.

    >>> calibration_size(1437), calibration_size(50_000), calibration_size(1_281_167), calibration_size(1437, 300)
    (143, 5000, 5000, 300)

    Raises: ``InputError`` where ``asked`` leaves nothing to train on.
    """
    if asked is None:
        return max(1, min(train // 10, MAX_CALIBRATION))
    if not 0 < asked < train:
        raise InputError(f"calibration must be 1 to {train - 1} of {train} train samples, got {asked}")
    return asked


def calibration_shards(train: SplitInfo, size: int, seed: int) -> tuple[str, ...]:
    """The train shards that calibration is drawn from.

    All of them up to 16; of more, the first by ``seed`` that hold four times ``size``: calibrating on ImageNet must
    not read its 140 GB. Shards are shuffled when packed (ours are, and the Hub's), so this is a fair draw.
    """
    files = train.filenames
    if len(files) <= 16 or not train.shard_lengths:
        return files
    chosen: list[int] = []
    for index in ranked(files, seed, "calibration-shards"):
        chosen.append(index)
        if len(chosen) >= 16 and sum(train.shard_lengths[i] for i in chosen) >= 4 * size:
            break
    return tuple(files[i] for i in sorted(chosen))


def calibration_keys(keys: Sequence[str], size: int, seed: int) -> frozenset[str]:
    """The ``size`` keys of the calibration split."""
    return frozenset(keys[i] for i in ranked(keys, seed, "calibration")[:size])
