"""Random numbers that belong to an image: the same in any batch, in any order, in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator


def draws(ids: Sequence[str], seed: int, purpose: str, restart: int = 0) -> list[Generator]:
    """One generator an image, keyed by (sample id, seed, purpose, restart).

    >>> first, again = draws(["a", "b"], 0, "start")[1], draws(["b"], 0, "start")[0]
    >>> first.random() == again.random()
    True
    """
    return [_generator(f"{seed}|{restart}|{purpose}|{name}") for name in ids]


def _generator(key: str) -> Generator:
    # Philox takes a key of 128 bits: two images never share a stream.
    return Generator(np.random.Philox(key=int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")))
