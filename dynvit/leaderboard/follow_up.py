"""What is measured of a record later: robustness and speed, one line each in files beside ``runs.jsonl``.

A record's id is known before it is measured, and so is the key of whatever is attached to it: a hash of the id and
of the question. A measurer asks the store for the keys that it would make and makes those that are missing, so that
a killed run repeats none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Generic, Self, TypeVar

from pydantic import Field, JsonValue, model_validator

from dynvit.environment import Environment
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.record import (
    Amount,
    Frozen,
    JsonObject,
    Name,
    Record,
    RobustnessRecord,
    SpeedRecord,
    UtcDate,
    canonical,
)
from dynvit.leaderboard.store import RunStore

RUNS, ROBUSTNESS, SPEED = "runs.jsonl", "robustness.jsonl", "speed.jsonl"

MeasuredT = TypeVar("MeasuredT", RobustnessRecord, SpeedRecord)
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class FollowUp(Frozen, Generic[MeasuredT]):
    """One later measurement of one record, and what made it."""

    record_id: Hex = Field(description="the record that was measured")
    key: Hex = Field(description="hash of record_id and question (dynvit.leaderboard.follow_up.follow_up_key)")
    question: JsonObject = Field(description="what was asked, by name: everything that may change the answer")
    measured: MeasuredT = Field(description="the answer")
    environment: Environment = Field(description="software and machine")
    command: Name = Field(description="command line that made this line")
    git_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        description="commit of the checkout; null: installed from a package"
    )
    date_utc: UtcDate = Field(description="when the measurement ended, UTC")
    wall_s: Amount = Field(description="seconds that the measurement took")

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        expected = follow_up_key(self.record_id, self.question)
        if self.key != expected:
            raise ValueError(f"key is {self.key} but the question's is {expected}: edited by hand?")
        return self


class RobustnessFollowUp(FollowUp[RobustnessRecord]):
    """A line of ``robustness.jsonl``: a record under one attack or corruption."""


class SpeedFollowUp(FollowUp[SpeedRecord]):
    """A line of ``speed.jsonl``: a record's time at one batch size on one device."""


class RobustnessStore(LineStore[RobustnessFollowUp]):
    """``robustness.jsonl``. Raises: as ``LineStore``."""

    model = RobustnessFollowUp


class SpeedStore(LineStore[SpeedFollowUp]):
    """``speed.jsonl``. Raises: as ``LineStore``."""

    model = SpeedFollowUp


def follow_up_key(record_id: str, question: Mapping[str, JsonValue]) -> str:
    """Sixteen hex digits that name a later measurement before it is made: the same question, the same key.

    >>> follow_up_key("0" * 16, {"batch_size": 8}) == follow_up_key("0" * 16, {"batch_size": 8.0, "note": None})
    True
    """
    identity: JsonValue = {"record_id": record_id, "question": dict(question)}
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_run(runs: str | os.PathLike[str]) -> list[Record]:
    """The records of a ``runs.jsonl`` with all that was measured of them later, in the files beside it.

    Raises: ``InputError`` naming the file and the line that is not what it should be.
    """
    path = Path(runs)
    return join(
        RunStore(path).read(),
        RobustnessStore(path.with_name(ROBUSTNESS)).read(),
        SpeedStore(path.with_name(SPEED)).read(),
    )


def join(
    records: Iterable[Record], robustness: Iterable[RobustnessFollowUp] = (), speed: Iterable[SpeedFollowUp] = ()
) -> list[Record]:
    """The records with their attachments, in the order of these; what belongs to no record is left out."""
    attacked: dict[str, list[RobustnessRecord]] = defaultdict(list)
    for attack in robustness:
        attacked[attack.record_id].append(attack.measured)
    timed: dict[str, list[SpeedRecord]] = defaultdict(list)
    for timing in speed:
        timed[timing.record_id].append(timing.measured)
    return [
        record.model_copy(
            update={
                "robustness": (*record.robustness, *attacked[record.record_id]),
                "speed": (*record.speed, *timed[record.record_id]),
            }
        )
        for record in records
    ]
