"""What somebody measured again of an entry: a line of ``verified.jsonl`` beside the board, and whether it agrees.

A line holds what was measured and never whether that agrees: this is derived from it and from what is published, each
time that somebody asks.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from dynvit.environment import Environment
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.digest import Digested
from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.paired import Z95, paired
from dynvit.leaderboard.per_sample import PerSampleResults, unpack
from dynvit.leaderboard.record import SCHEMA_VERSION, Amount, Frozen, Name, Record, UtcDate

if TYPE_CHECKING:
    from dynvit.leaderboard.per_sample import Bools

VERIFIED = "verified.jsonl"
UNLIKELY = 0.001
"""What chance does less often than this is no chance."""
TRAINED_AGAIN_POINTS = 1.0
"""What another training may change, points of accuracy, where a board has no spread over seeds."""
TRAINED_AGAIN_GMACS = 0.05
"""The same of the mean GMACs, as a share: thresholds are solved again on other weights."""
_SOFTWARE = ("device", "cpu", "torch", "timm", "numpy")
_ROUNDING = 1e-9
_OTHER_ARITHMETIC = 1e-3  # of the images, and of the GMACs: near a threshold another machine may decide otherwise

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Way = Literal["same weights", "trained again"]


class Verification(Digested, Frozen):
    """One entry, measured again by somebody."""

    schema_version: Literal[2] = Field(default=SCHEMA_VERSION, description="version of this schema")
    record_id: Hex = Field(description="the entry that was measured again")
    key: Hex = Field(description="hash of record_id, by and date_utc")
    by: Name = Field(description="who measured it")
    way: Way = Field(description="same weights: those that the record names, by hash; or trained again as it says")
    n: int = Field(ge=1, description="images measured again")
    of: int = Field(ge=1, description="images that the entry was measured on")
    seed: int = Field(ge=0, description="draws which of them (dynvit.leaderboard.verification.drawn)")
    images: Hex = Field(description="which images the entry is of: a hash of their sorted sample ids")
    right: str = Field(description="which of those drawn were classified correctly: a bit each, base64")
    gmacs_mean: Amount = Field(description="mean GMACs an image")
    gmacs_sd: Amount = Field(description="standard deviation over the images, GMACs")
    environment: Environment = Field(description="software and machine")
    command: Name = Field(description="command line")
    date_utc: UtcDate = Field(description="when the measurement ended, UTC")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n > self.of:
            raise ValueError(f"n is {self.n}, above the {self.of} images that there are")
        unpack(self.right, self.n)
        if self.key != key_of(self.record_id, self.by, self.date_utc.isoformat()):
            raise ValueError("key is not that of record_id, by and date_utc: edited by hand?")
        return self

    def bits(self) -> Bools:
        """Shape: (n,), in the order of sorted ids."""
        return unpack(self.right, self.n)


class VerificationStore(LineStore[Verification]):
    """``verified.jsonl``. Raises: as ``LineStore``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, Verification)


@dataclass(frozen=True)
class Agreement:
    """Whether what was measured again agrees with what is published, and in what words."""

    holds: bool
    said: str


def key_of(record_id: str, by: str, date: str) -> str:
    """What names a verification."""
    return follow_up_key(record_id, {"by": by, "date_utc": date})


def drawn(total: int, n: int, seed: int) -> list[int]:
    """Which n of so many images are measured again: places among their sorted ids, ascending.

    >>> drawn(5, 5, 0), len(drawn(1000, 10, 3)), drawn(1000, 10, 3) == drawn(1000, 10, 4)
    ([0, 1, 2, 3, 4], 10, False)
    """
    if n >= total:
        return list(range(total))
    keys = [hashlib.sha256(f"verify/{seed}/{place}".encode()).digest() for place in range(total)]
    return sorted(sorted(range(total), key=keys.__getitem__)[:n])


def agreement(
    again: Verification,
    entry: Entry,
    published: PerSampleResults | None,
    record: Record | None = None,
    seed_sd: float | None = None,
) -> Agreement:
    """What was measured again, held to what is published.

    With the same weights every image must be classified as it was: where processor and software are the record's, to
    the last; elsewhere up to one in a thousand may differ, one at least. Without per-sample results the number of
    correct images must be one that chance draws. A model that was trained again is another: its accuracy must be the
    published one up to the paired 95 % interval and what seeds change.

    Args:
        again: the line.
        entry: of the board.
        published: the entry's per-sample results; None: not published.
        record: the entry's record; None: not published.
        seed_sd: standard deviation of its accuracy over seeds, points; None: not known.
    """
    if published is not None and (again.images, again.of) != (published.images, published.n):
        return Agreement(False, "it was measured on other images than the entry")
    same = record is not None and all(
        getattr(record.environment, name) == getattr(again.environment, name) for name in _SOFTWARE
    )
    if again.way == "trained again":
        parts = [_trained_again(again, entry, published, seed_sd), _cost_trained_again(again, entry)]
    else:
        parts = [_images(again, entry, published, same), _cost(again, entry, record, same)]
    return Agreement(all(part.holds for part in parts), ", ".join(part.said for part in parts))


def _images(again: Verification, entry: Entry, published: PerSampleResults | None, same: bool) -> Agreement:
    if published is None:
        return _by_chance(again, entry)
    right, was = again.bits(), published.bits()[drawn(again.of, again.n, again.seed)]
    differ, allowed = int((right != was).sum()), 0 if same else max(1, math.floor(again.n * _OTHER_ARITHMETIC))
    limit = "" if not differ or differ > allowed else f" (up to {allowed} may on another machine)"
    now, then = 100 * right.mean(), 100 * was.mean()
    said = f"{_counted(differ)} of {again.n:,} images differs{limit}: {now:.2f} % correct, published {then:.2f} %"
    return Agreement(differ <= allowed, said.replace("images differs", "images differ") if differ != 1 else said)


def _counted(differ: int) -> str:
    return "none" if not differ else f"{differ:,}"


def _by_chance(again: Verification, entry: Entry) -> Agreement:
    """How likely so many correct ones are among those drawn, if the published number is right."""
    from scipy.stats import hypergeom

    correct, total = int(again.bits().sum()), round(entry.top1_pct * again.of / 100)
    chance = hypergeom(again.of, total, again.n)
    p = min(1.0, 2 * min(float(chance.cdf(correct)), float(chance.sf(correct - 1))))
    said = (
        f"{100 * correct / again.n:.2f} % correct, published {entry.top1_pct:.2f} % (p = {p:.2g}, no evidence by image)"
    )
    return Agreement(p >= UNLIKELY, said)


def _cost(again: Verification, entry: Entry, record: Record | None, same: bool) -> Agreement:
    """Exact where every image costs alike; else up to what the draw leaves open."""
    left = (again.of - again.n) / max(again.of - 1, 1)  # nothing, where all were measured
    slack = 3.3 * _spread(again, record) * math.sqrt(left / again.n)
    slack += entry.gmacs_mean * (_ROUNDING if same or not again.gmacs_sd else _OTHER_ARITHMETIC)
    return Agreement(abs(again.gmacs_mean - entry.gmacs_mean) <= slack, _cost_said(again, entry))


def _spread(again: Verification, record: Record | None) -> float:
    """Standard deviation of an image's cost, GMACs.

    The costly images of a cascade are few, and a draw may hold none of them: then it is as large as it can be about the
    record's mean, between its 5th percentile and its maximum (Bhatia and Davis, 2000).
    """
    if record is None:
        return again.gmacs_sd
    compute = record.compute
    below, above = compute.gmacs_mean - compute.gmacs_p5, compute.gmacs_max - compute.gmacs_mean
    return max(again.gmacs_sd, math.sqrt(max(below, 0.0) * max(above, 0.0)))


def _cost_said(again: Verification, entry: Entry) -> str:
    return f"{again.gmacs_mean:.6g} GMACs, published {entry.gmacs_mean:.6g}"


def _trained_again(
    again: Verification, entry: Entry, published: PerSampleResults | None, seed_sd: float | None
) -> Agreement:
    allowed = TRAINED_AGAIN_POINTS if seed_sd is None else 2 * math.sqrt(2) * seed_sd
    right = again.bits()
    if published is None:
        share = entry.top1_pct / 100
        off, half = 100 * right.mean() - entry.top1_pct, 100 * Z95 * math.sqrt(2 * share * (1 - share) / again.n)
        low, high = off - half, off + half
    else:
        found = paired(published.bits()[drawn(again.of, again.n, again.seed)], right)
        low, high, off = found.ci95_low_points, found.ci95_high_points, found.difference_points
    said = f"trained again: {off:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}], seeds may change {allowed:.2g}"
    return Agreement(bool(low <= allowed and high >= -allowed), said)


def _cost_trained_again(again: Verification, entry: Entry) -> Agreement:
    near = math.isclose(again.gmacs_mean, entry.gmacs_mean, rel_tol=TRAINED_AGAIN_GMACS)
    return Agreement(near, _cost_said(again, entry))
