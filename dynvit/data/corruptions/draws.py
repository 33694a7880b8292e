"""Chance that belongs to a sample and a question, not to a batch or a process."""

from __future__ import annotations

import hashlib

import numpy as np


def draws(seed: int, *question: str | int) -> np.random.Generator:
    """The random numbers of one question: the same in every process, in any order.

    >>> draws(0, "fog", 3, "cat/1").integers(100) == draws(0, "fog", 3, "cat/1").integers(100)
    np.True_
    """
    text = "\n".join(map(str, (seed, *question)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))
