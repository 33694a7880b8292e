"""A claim of a paper and how it is tested here, as ``leaderboards/claims.yaml`` says it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from dynvit.errors import InputError, first_fault
from dynvit.leaderboard.baseline import DENSE
from dynvit.leaderboard.record import Amount, Frozen, JsonObject, Knobs, Name
from dynvit.leaderboard.training import Division
from dynvit.reading import read_yaml

FILE = "claims.yaml"


class Choice(Frozen):
    """Which entry of a board is meant, by rule: whoever reads the board finds the same."""

    method: Name = Field(description="method; dense alone: the static backbone")
    share: float | None = Field(default=None, gt=0, le=2, description="the nearest in cost to this share of dense")
    times: float | None = Field(default=None, gt=0, description="the nearest in cost to this multiple of the other's")
    knobs: Knobs = Field(default={}, description="only among those with these knob settings")
    options: JsonObject = Field(default={}, description="only among those trained with these options")
    division: Division | None = Field(default=None, description="only among those of this division")

    @model_validator(mode="after")
    def _one_rule(self) -> Choice:
        rules = [rule for rule in (self.share, self.times) if rule is not None]
        if len(rules) > 1 or (self.method != DENSE and not rules and not self.knobs):
            raise ValueError("name a share, times or knobs for a method, and not both share and times")
        return self


class _OfBoards(Frozen):
    """A test on every board that is named."""

    boards: tuple[Name, ...] = Field(min_length=1, description="names of leaderboards/NAME.json")
    entry: Choice = Field(description="the entry that is claimed to be good")


class _OfTwo(_OfBoards):
    """A test of an entry against another."""

    against: Choice = Choice(method=DENSE)

    @model_validator(mode="after")
    def _one_is_a_multiple(self) -> Self:
        if self.against.times is not None:
            raise ValueError("against.times has no other cost to be a multiple of: give against a share or knobs")
        return self


class Bounded(Frozen):
    """A difference that is claimed to be at least so large."""

    at_least: float = Field(default=0.0, description="the claimed lower bound")
    within: Amount = Field(default=0.0, description="how far below it still counts as it, as for 'equal accuracy'")


class AccuracyTest(_OfTwo, Bounded):
    """Top-1 of an entry less that of another, points."""

    kind: Literal["accuracy"]


class RobustTest(_OfTwo, Bounded):
    """Accuracy under the worst attack within a ball, of an entry less that of another, points."""

    kind: Literal["robust"]
    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]; a radius within 5 % is taken for it")
    attack: Name | None = Field(default=None, description="an attack that both entries must have met; null: any")


class SpeedTest(_OfBoards, Bounded):
    """Realised speed-up over dense at the largest batch, or its share of the theoretical one."""

    kind: Literal["speed"]
    of_theory: bool = Field(default=False, description="true: the bound is of the share of the theoretical speed-up")

    @model_validator(mode="after")
    def _of_one_entry(self) -> Self:
        if self.entry.times is not None:
            raise ValueError("entry.times has no other cost to be a multiple of: give a share or knobs")
        return self


class TableTest(Bounded):
    """A row of a result file less each of others."""

    kind: Literal["table"]
    file: Name = Field(description="docs/results/FILE.json")
    row: Name = Field(description="the row that is claimed to be good")
    against: tuple[Name, ...] = Field(min_length=1, description="rows that it is claimed to be better than")
    value: Literal["top1_pct", "robust_pct"] = Field(default="top1_pct", description="what is compared")
    exit: int | None = Field(default=None, ge=1, description="of which exit; null: rows have one number")
    equal_cost: bool = Field(default=False, description="whether their costs must be within 1 % of each other")
    share: float | None = Field(
        default=None,
        gt=0,
        description="cost of the row that the claim is of, as a share of the first other; 5 % about it",
    )


class SharesTest(Frozen):
    """Exit shares over the budget: the first exit's fall and the last one's rise."""

    kind: Literal["exit shares"]
    file: Name = Field(description="docs/results/FILE.csv, the exit_shares.csv of dynvit explain")


class SkipsTest(Frozen):
    """Skip ratios block by block."""

    kind: Literal["skip ratios"]
    file: Name = Field(description="docs/results/FILE.csv, the skip_ratios.csv of dynvit explain")
    says: Literal["tokens most", "deep blocks most"] = Field(description="which of the two is claimed")


class Untestable(Frozen):
    """No test here, and why."""

    kind: Literal["untestable"]
    because: Name = Field(description="the reason, after 'because'")


Test = Annotated[
    AccuracyTest | RobustTest | SpeedTest | TableTest | SharesTest | SkipsTest | Untestable, Field(discriminator="kind")
]


class Claim(Frozen):
    """What was claimed, on what, where it stands, and how it is tested here."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = Field(description="name within the file")
    paper: Name = Field(description="the paper's short name")
    claim: Name = Field(description="the claim, one sentence")
    claimed: Name = Field(description="its numbers, as printed")
    setting: Name = Field(description="model and data")
    source: Name = Field(description="table, figure or section, and page where known")
    test: Test = Field(description="how it is tested here")
    note: Name | None = Field(default=None, description="what the test leaves open")


class Claims(Frozen):
    """All claims, and the commands that make what they are tested on."""

    boards: dict[Name, Name] = Field(description="by board: the command that makes it")
    results: dict[Name, Name] = Field(description="by file under docs/results: the command that makes it")
    claims: tuple[Claim, ...] = Field(min_length=1, description="in the order of the papers")

    @model_validator(mode="after")
    def _consistent(self) -> Claims:
        ids = [claim.id for claim in self.claims]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"claim {twice!r} stands twice")
        for claim in self.claims:
            test = claim.test
            named = getattr(test, "boards", None) or ([test.file] if hasattr(test, "file") else [])
            known = self.boards if hasattr(test, "boards") else self.results
            lacking = next((name for name in named if name not in known), None)
            if lacking is not None:
                raise ValueError(f"claim {claim.id!r} is tested on {lacking!r}, of which no command is named")
        return self


def read_claims(path: str | os.PathLike[str]) -> Claims:
    """The claims in a file, or in a folder's ``claims.yaml``.

    Raises: ``InputError`` where it is missing or holds none, naming the field.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    body = read_yaml(file, "claims")
    try:
        return Claims.model_validate_json(json.dumps(body))
    except TypeError as error:  # YAML knows dates, and keys that are no text
        raise InputError(f"claims {str(file)!r} have a value that JSON has not ({error}): put it in quotes") from error
    except ValidationError as error:
        raise InputError(f"claims {str(file)!r} are none: {first_fault(error)}; see leaderboards/{FILE}") from error
