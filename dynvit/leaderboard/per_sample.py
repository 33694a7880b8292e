"""Which images a record answered right: a bit each, kept beside ``runs.jsonl`` so that records can be paired.

A line of ``per_sample.jsonl`` takes 167 bytes a thousand images. It is written before its record: a kill between the
two leaves a line without a record, which the next run writes again, and never a record without its line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from dynvit.leaderboard.digest import Digested
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

# numpy is imported where it counts bits: who shows a finished board does not wait for it.
PER_SAMPLE = "per_sample.jsonl"
VERSION_1 = "answers.jsonl"


class PerSampleResults(Digested, Frozen):
    """Which images one record answered right."""

    record_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="the record")
    n: int = Field(ge=1, description="images")
    images: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="which images: a hash of their sorted sample ids; results are compared within one"
    )
    right: str = Field(description="which were answered right: a bit each in the order of sorted ids, base64")

    def bits(self) -> Bools:
        """Shape: (n,), in the order of sorted ids."""
        return unpack(self.right, self.n)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        unpack(self.right, self.n)
        return self


class PerSampleStore(LineStore[PerSampleResults]):
    """``per_sample.jsonl``. Raises: as ``LineStore``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, PerSampleResults, "record_id")


def read_per_sample(place: Place | str | os.PathLike[str]) -> dict[str, PerSampleResults]:
    """What is kept of a run or of a published board, by record id. Raises: as ``LineStore``."""
    place = place if isinstance(place, Place) else Place.of(place)
    found: dict[str, PerSampleResults] = {}
    for name in (VERSION_1, PER_SAMPLE):
        found |= {line.record_id: line for line in PerSampleStore(place.file(name)).read()}
    return found


def images_hash(ids: Iterable[str]) -> str:
    """Sixteen hex digits that name a set of images, in whatever order.

    >>> images_hash(["b", "a"]) == images_hash(["a", "b"]) != images_hash(["a"])
    True
    """
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


def right_in_all(results: Iterable[Bools]) -> Bools:
    """The images that every one of several results has right, one at least. Shape: (n,)."""
    return reduce(and_, results)


def pack(right: Bools) -> str:
    """A bit each, base64.

    Shape: (n,), in the order of sorted ids.

    >>> import numpy as np
    >>> pack(np.array([True, False, True]))
    'oA=='
    """
    import numpy as np

    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack(right: str, n: int) -> Bools:
    """What ``pack`` was given. Shape: (n,). Raises: ``ValueError`` where there are not as many bits."""
    import numpy as np

    try:
        packed = base64.b64decode(right, validate=True)
    except binascii.Error as error:
        raise ValueError("right is not base64") from error
    if len(packed) != (n + 7) // 8:
        raise ValueError(f"right holds {8 * len(packed)} bits for {n} images")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)
    if bits[n:].any():
        raise ValueError(f"right marks images beyond the {n} that there are")
    return bits[:n]
