"""What is measured of a record later, a line each in a file of the measurement's name beside ``runs.jsonl``.

A record's id is known before it is measured, and so is the key of each follow-up measurement: a hash of the id and of
the configuration. A runner asks the store for the keys that it would make and measures those that are missing, so that
a killed run repeats none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, JsonValue, model_validator

from dynvit.environment import Environment
from dynvit.leaderboard.digest import Digested
from dynvit.leaderboard.record import SCHEMA_VERSION, Amount, Frozen, JsonObject, Name, UtcDate, canonical

ResultT = TypeVar("ResultT", bound=Frozen)
PLUGIN = "plugin"
"""In a configuration: the version of the one-file plug-in that measured; an edited file makes another line."""
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class FollowUp(Digested, Frozen, Generic[ResultT]):
    """One follow-up measurement of one record, and what made it."""

    schema_version: Literal[2] = Field(default=SCHEMA_VERSION, description="version of this schema")
    record_id: Hex = Field(description="the record that was measured")
    key: Hex = Field(description="hash of record_id and config (dynvit.leaderboard.follow_up.follow_up_key)")
    config: JsonObject = Field(description="the configuration, by name: everything that may change the result")
    result: ResultT | None = Field(description="what was measured; null: skipped")
    skipped: Name | None = Field(default=None, description="why nothing was measured; null: something was")
    environment: Environment = Field(description="software and machine")
    command: Name = Field(description="command line that made this line")
    git_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        description="commit of the checkout; null: installed from a package"
    )
    date_utc: UtcDate = Field(description="when the measurement ended, UTC")
    wall_s: Amount = Field(description="seconds that the measurement took")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        expected = follow_up_key(self.record_id, self.config)
        if self.key != expected:
            raise ValueError(f"key is {self.key} but the configuration's is {expected}: edited by hand?")
        if (self.result is None) == (self.skipped is None):
            raise ValueError("either result or skipped must be null, and the other not")
        return self


def follow_up_key(record_id: str, config: Mapping[str, JsonValue]) -> str:
    """Sixteen hex digits that name a follow-up measurement before it is made: the same configuration, the same key.

    >>> follow_up_key("0" * 16, {"batch_size": 8}) == follow_up_key("0" * 16, {"batch_size": 8.0, "note": None})
    True
    """
    identity: JsonValue = {
        "record_id": record_id,
        "question": dict(config),
    }  # as version 1 called it: keys are for ever
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def newest_of_each_plugin(lines: Iterable[FollowUp[ResultT]]) -> list[FollowUp[ResultT]]:
    """The lines, less those that another version of a one-file plug-in has measured again since."""
    lines = list(lines)
    if not any(line.config.get(PLUGIN) for line in lines):
        return lines
    newest = {_but_for_plugin(line): line for line in sorted(lines, key=lambda line: line.date_utc)}
    return [line for line in lines if newest[_but_for_plugin(line)] is line]


def _but_for_plugin(line: FollowUp[ResultT]) -> str:
    return follow_up_key(line.record_id, {name: value for name, value in line.config.items() if name != PLUGIN})


def from_version_1(line: dict[str, Any]) -> dict[str, Any]:
    """The frame of a follow-up line of version 1 in today's words; ``result`` is as it was."""
    renamed = {"question": "config", "measured": "result"}
    return {renamed.get(name, name): value for name, value in line.items()} | {"schema_version": SCHEMA_VERSION}
