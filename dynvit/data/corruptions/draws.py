"""Random numbers that depend on a sample and a purpose, not on a batch or a process."""

from __future__ import annotations

import hashlib

import numpy as np


def draws(seed: int, *key: str | int) -> np.random.Generator:
    """The random numbers of one key: the same in every process, in any order.

    >>> draws(0, "fog", 3, "cat/1").integers(100) == draws(0, "fog", 3, "cat/1").integers(100)
    np.True_
    """
    text = "\n".join(map(str, (seed, *key)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))
