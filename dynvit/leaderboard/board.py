"""The leaderboard as it is published: what `leaderboard.json` holds, read and written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from dynvit.files import write_whole
from dynvit.leaderboard.bootstrap import MethodBootstrap
from dynvit.leaderboard.digest import Digested, with_digest
from dynvit.leaderboard.paired import Paired
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.record import (
    Amount,
    Frozen,
    JsonObject,
    Knobs,
    Name,
    Origin,
    Percent,
    Pixels,
    Sha256,
    UtcDate,
)
from dynvit.leaderboard.spread import SeedSpread
from dynvit.leaderboard.training import Division, TrainingRecord
from dynvit.units import Rule, Solve

SummaryT = TypeVar("SummaryT", bound=Frozen)
BOARD_VERSION: Literal[2] = 2


class Setting(Frozen):
    """What entries must have in common before one front may hold them."""

    dataset: Name = Field(description="registered name of the dataset")
    split: Name = Field(description="split that was measured")
    manifest_sha256: Sha256 = Field(description="SHA-256 of the dataset's manifest")
    n: int = Field(ge=1, description="images measured, each once")
    backbone: Name = Field(description="timm's name of the backbone")
    image_size: tuple[Pixels, Pixels] = Field(description="height and width of the input, pixels")
    num_classes: int = Field(ge=2, description="classes of the head")
    rule: Rule = Field(description="counting rule of the GMACs")
    dense_gmacs: float = Field(gt=0, description="GMACs an image of the static backbone by that rule")
    shared_recipe_sha256: Sha256 | None = Field(
        default=None,
        exclude_if=lambda sha256: sha256 is None,
        description="the fine-tuned division: SHA-256 of the recipe that all share; absent: another division",
    )
    start_sha256: Sha256 | None = Field(
        default=None,
        exclude_if=lambda sha256: sha256 is None,
        description="the fine-tuned division: SHA-256 of the weights that all began from",
    )


class Objective(Frozen):
    """One axis of the front."""

    key: Name = Field(description="key of an entry")
    higher_is_better: bool = Field(description="whether more is better")
    reference: float = Field(description="the reference point's coordinate: no better than this is worth nothing")


class Entry(Frozen):
    """One record's key numbers; the rest is in the record of this id."""

    record_id: Name = Field(description="id of the record")
    method: Name = Field(description="method")
    options: JsonObject = Field(description="the method's options")
    knobs: Knobs = Field(description="knob settings")
    target_gmacs: Amount | None = Field(description="GMACs an image that were asked for; null: knobs were given")
    origin: Origin | None = Field(
        default=None,
        exclude_if=lambda origin: origin is None,  # what was published before stays byte for byte what it is
        description="published: the authors stored the point with their checkpoint; absent: found here",
    )
    solved_by: Solve | None = Field(
        default=None,
        description="what the budget was solved by: cost or accuracy; null: knobs were given, or not known",
    )
    checkpoint_sha256: Sha256 | None = Field(description="SHA-256 of the method's checkpoint; null: it has none")
    gmacs_mean: Amount = Field(description="mean GMACs an image")
    gmacs_p5: Amount = Field(description="5th percentile, GMACs")
    gmacs_p95: Amount = Field(description="95th percentile, GMACs")
    saving_pct: float = Field(le=100, description="saved against the static backbone, percent")
    top1_pct: Percent = Field(description="top-1 accuracy, percent")
    top1_ci95_low_pct: Percent = Field(description="lower end of its 95 % interval, percent")
    top1_ci95_high_pct: Percent = Field(description="upper end of its 95 % interval, percent")
    top5_pct: Percent | None = Field(description="top-5 accuracy, percent; null with five classes or fewer")
    baseline: bool = Field(description="the static backbone itself: no knob, and it costs what dense costs")
    on_method_front: bool = Field(description="no other entry of its method dominates it")
    on_front: bool = Field(description="no entry at all dominates it")
    against_dense: Paired | None = Field(
        default=None, description="against the static backbone, image by image; null: per-sample results were not kept"
    )
    measurements: dict[Name, JsonObject] = Field(
        default={}, description="what was measured of it besides, by the measurement's name: its summary"
    )
    skipped: dict[Name, str] = Field(default={}, description="what was not measured of it, and why")
    training: TrainingRecord | None = Field(
        default=None,
        exclude_if=lambda training: training is None,
        description="how its weights came about; absent: not known",
    )
    training_seed: int | None = Field(
        default=None,
        exclude_if=lambda seed: seed is None,
        description="seed of the backbone's training in the bench, where the method has none of its own; absent: that "
        "of training, or not known",
    )

    @property
    def seed(self) -> int | None:
        """The seed of its training, as that of its record; None where nothing was trained here, or it is not known."""
        own = None if self.training is None else self.training.seed
        return own if self.training_seed is None else self.training_seed


def of_first_seed(entries: Iterable[Entry]) -> list[Entry]:
    """Those of the first training seed, with what was not trained: the best of several is so partly by luck."""
    entries = list(entries)
    first = min((entry.seed for entry in entries if entry.seed is not None), default=None)
    return [entry for entry in entries if entry.seed in (None, first)]


class MethodSummary(Frozen):
    """What one method's front is worth. Several checkpoints of a method share its front."""

    name: Name = Field(description="method")
    distribution: str = Field(description="package that registered it")
    versions: tuple[str, ...] = Field(description="versions of that package among the entries")
    n_entries: int = Field(ge=1, description="entries of the method")
    n_front: int = Field(ge=1, description="entries on its own front")
    hypervolume: Annotated[float, Field(ge=0)] = Field(description="of its front, in GMACs x percent")
    hypervolume_share: Annotated[float, Field(ge=0, le=1)] = Field(
        description="the same as a share of the rectangle from the reference point to 0 GMACs and 100 %"
    )
    bootstrap: MethodBootstrap | None = Field(
        default=None,
        exclude_if=lambda bootstrap: bootstrap is None,
        description="what images and seeds leave open of it; absent: not known, or the static backbone",
    )


class Generated(Frozen):
    """Who wrote the board. The date is the newest record's, so that the same records give the same bytes."""

    command: str = Field(description="command line")
    date_utc: UtcDate = Field(description="date of the newest record, UTC")
    dynvit: Name = Field(description="version of dynvit")


class Leaderboard(Digested, Frozen):
    """The published file."""

    schema_version: Literal[2] = Field(default=BOARD_VERSION, description="version of this schema")
    setting: Setting = Field(description="what all entries have in common")
    objectives: tuple[Objective, ...] = Field(description="axes of the front, with the reference point")
    entries: tuple[Entry, ...] = Field(min_length=1, description="by method, then by rising GMACs")
    methods: tuple[MethodSummary, ...] = Field(min_length=1, description="per method, by name")
    hypervolume: Annotated[float, Field(ge=0)] = Field(description="of the overall front, in GMACs x percent")
    hypervolume_share: Annotated[float, Field(ge=0, le=1)] = Field(description="the same as a share, as in methods")
    seeds: tuple[SeedSpread, ...] = Field(default=(), description="spread over training seeds, where there are several")
    measurements: dict[Name, JsonObject] = Field(
        default={}, description="what a measurement says of all entries together, by its name"
    )
    paper: tuple[PaperRow, ...] = Field(default=(), description="published rows of this setting, for comparison")
    generated: Generated = Field(description="who wrote this file")

    @property
    def division(self) -> Division | None:
        """What its entries were allowed; None where an entry does not say how its weights came about."""
        trainings = [entry.training for entry in self.entries if entry.training is not None]
        if len(trainings) < len(self.entries):
            return None
        divisions = {training.division for training in trainings}
        return divisions.pop() if len(divisions) == 1 else "free"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the board, whole or not at all."""
        write_whole(Path(path), self.content())

    def content(self) -> bytes:
        """What a file holds: sorted keys, the same bytes for the same board."""
        text = json.dumps(with_digest(self.model_dump(mode="json")), sort_keys=True, indent=1, ensure_ascii=False)
        return text.encode() + b"\n"

    def overview(self, measurement: str, model: type[SummaryT]) -> SummaryT | None:
        """What a measurement says of all entries together; None where it says nothing."""
        said = self.measurements.get(measurement)
        return None if said is None else model.model_validate_json(json.dumps(said))

    def summaries(self, measurement: str, model: type[SummaryT]) -> dict[str, SummaryT]:
        """The entries' summaries of one measurement, by record id, in the order of the entries."""
        return {
            entry.record_id: model.model_validate_json(json.dumps(entry.measurements[measurement]))
            for entry in self.entries
            if measurement in entry.measurements
        }
