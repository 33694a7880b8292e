"""An entry's own pictures: what its board's axes say of it at several places, and which images it has right."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dynvit.leaderboard.axes import Axis, Reading
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.site.data import short

_WRONG, _RIGHT = (204, 76, 2, 255), (128, 138, 150, 70)


WIDEST = 704
"""CSS pixels of the picture of right and wrong images."""


@dataclass(frozen=True)
class Picture:
    """A curve or bars of one family of axes. ``kind``: "curve" or "bars"; ``rows`` are what is drawn."""

    title: str
    kind: str
    rows: Sequence[dict[str, Any]]
    has_dense: bool


def pictures_of(record_id: str, dense_id: str | None, axes: Sequence[Axis]) -> Iterator[Picture]:
    """One for each family of axes of which the entry has two readings, with the static backbone's beside them."""
    families: dict[str, list[Axis]] = {}
    for axis in axes:
        if axis.family and axis.at is not None and record_id in axis.readings:
            families.setdefault(axis.family, []).append(axis)
    for family, own in families.items():
        if len(own) < 2:
            continue
        others = [axis for axis in own if dense_id not in (None, record_id) and dense_id in axis.readings]
        rows = [_row(axis, axis.readings[record_id], False) for axis in own]
        rows += [_row(axis, axis.readings[str(dense_id)], True) for axis in others]
        yield Picture(family, _kind([axis.at for axis in own]), rows, bool(others))


@dataclass(frozen=True)
class Bits:
    """A PNG as a ``data:`` address, and how wide it is shown, CSS pixels."""

    address: str
    width: int


def right_and_wrong(results: PerSampleResults) -> Bits:
    """The images in the order of their ids, a pixel each, those that are wrong marked."""
    import numpy as np
    from PIL import Image

    bits = results.bits()
    width = math.ceil(math.sqrt(4 * results.n))
    cells = np.zeros((math.ceil(results.n / width) * width, 4), np.uint8)
    cells[: results.n] = np.where(bits[:, None], _RIGHT, _WRONG)
    picture = Image.fromarray(cells.reshape(-1, width, 4), "RGBA").quantize(colors=3)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    address = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Bits(address, min(12 * width, WIDEST))


def _row(axis: Axis, reading: Reading, dense: bool) -> dict[str, Any]:
    low, high = short(reading.low), short(reading.high)
    return {"at": axis.at, "y": short(reading.value), "low": low, "high": high, "dense": dense}


def _kind(places: Sequence[float | str | None]) -> str:
    """Bars for names, and for the places of a list, such as exits or blocks; a curve for amounts."""
    return (
        "bars"
        if any(isinstance(place, str) for place in places) or [*places] == [*range(1, len(places) + 1)]
        else "curve"
    )
