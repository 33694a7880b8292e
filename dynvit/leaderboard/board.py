"""The leaderboard as it is published: what `leaderboard.json` holds, read and written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from dynvit.errors import InputError, first_fault
from dynvit.files import write_whole
from dynvit.leaderboard.paired import Paired
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.record import (
    Amount,
    Frozen,
    JsonObject,
    Knobs,
    Name,
    Percent,
    Pixels,
    Sha256,
    SpeedRecord,
    UtcDate,
)
from dynvit.leaderboard.spread import SeedSpread
from dynvit.measurements.corruption.summary import CorruptionSummary
from dynvit.measurements.robustness.summary import RobustEntry, SlowdownEntry
from dynvit.units import Rule

BOARD_VERSION: Literal[1] = 1


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


class Objective(Frozen):
    """One axis of the front."""

    key: Name = Field(description="key of an entry")
    higher_is_better: bool = Field(description="whether more is better")
    reference: float = Field(description="the reference point's coordinate: no better than this is worth nothing")


class SpeedCurve(Frozen):
    """One entry's timings in one way on one device, over the batch size."""

    device: Name = Field(description="device model")
    dtype: Name = Field(description="number type of the forward pass")
    threads: int | None = Field(ge=1, description="processor threads; null on an accelerator")
    execution_mode: Name = Field(description="what was timed")
    dense_execution_mode: Name | None = Field(default=None, description="the same of the dense backbone")
    break_even_batch: int | None = Field(
        ge=1,
        description="smallest measured batch at which it was faster than dense in every quiet round; null: at none",
    )
    sizes: tuple[SpeedRecord, ...] = Field(min_length=1, description="by rising batch size")


class Entry(Frozen):
    """One record's key numbers; the rest is in the record of this id."""

    record_id: Name = Field(description="id of the record")
    method: Name = Field(description="method")
    options: JsonObject = Field(description="the method's options")
    knobs: Knobs = Field(description="knob settings")
    target_gmacs: Amount | None = Field(description="GMACs an image that were asked for; null: knobs were given")
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
    speed: tuple[SpeedCurve, ...] = Field(default=(), description="timings beside dense; empty: not timed")
    against_dense: Paired | None = Field(
        default=None, description="against the static backbone, image by image; null: answers were not kept"
    )
    corruption: CorruptionSummary | None = Field(
        default=None, description="under common corruptions; null: not measured"
    )
    robust: tuple[RobustEntry, ...] = Field(default=(), description="accuracy under attack; empty: not attacked")
    slowdown: tuple[SlowdownEntry, ...] = Field(default=(), description="compute under attack; empty: not attacked")
    findings: tuple[str, ...] = Field(default=(), description="signs that gradients are masked")


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


class RobustFront(Frozen):
    """The front of three objectives among the entries that were attacked within one ball."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    objectives: tuple[Objective, ...] = Field(description="axes of the front, with the reference point")
    n_entries: int = Field(ge=1, description="entries attacked")
    front: tuple[Name, ...] = Field(description="record ids of the entries that no other dominates")
    hypervolume: Annotated[float, Field(ge=0)] = Field(description="in GMACs x percent x percent")
    hypervolume_share: Annotated[float, Field(ge=0, le=1)] = Field(
        description="the same as a share of the box from the reference point to 0 GMACs, 100 % and 100 %"
    )


class Generated(Frozen):
    """Who wrote the board. The date is the newest record's, so that the same records give the same bytes."""

    command: str = Field(description="command line")
    date_utc: UtcDate = Field(description="date of the newest record, UTC")
    dynvit: Name = Field(description="version of dynvit")


class Leaderboard(Frozen):
    """The published file."""

    schema_version: Literal[1] = Field(default=BOARD_VERSION, description="version of this schema")
    setting: Setting = Field(description="what all entries have in common")
    objectives: tuple[Objective, ...] = Field(description="axes of the front, with the reference point")
    entries: tuple[Entry, ...] = Field(min_length=1, description="by method, then by rising GMACs")
    methods: tuple[MethodSummary, ...] = Field(min_length=1, description="per method, by name")
    hypervolume: Annotated[float, Field(ge=0)] = Field(description="of the overall front, in GMACs x percent")
    hypervolume_share: Annotated[float, Field(ge=0, le=1)] = Field(description="the same as a share, as in methods")
    seeds: tuple[SeedSpread, ...] = Field(default=(), description="spread over training seeds, where there are several")
    robust_fronts: tuple[RobustFront, ...] = Field(default=(), description="by norm and radius; empty: not attacked")
    paper: tuple[PaperRow, ...] = Field(default=(), description="published rows of this setting, for comparison")
    generated: Generated = Field(description="who wrote this file")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the board: sorted keys, the same bytes for the same board, whole or not at all."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False)
        write_whole(Path(path), text.encode() + b"\n")


def read_board(path: str | os.PathLike[str]) -> Leaderboard:
    """The board in a file.

    Raises: ``InputError`` where the file is missing or is no board.
    """
    try:
        return Leaderboard.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise InputError(
            f"{path} is not a leaderboard: {first_fault(error)}; build it again from runs.jsonl"
        ) from error
