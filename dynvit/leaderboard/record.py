"""The record: one measured operating point with everything needed to measure it again.

One JSON object a line in ``runs.jsonl``. Numbers are numbers, units stand in the key, missing is ``null``,
dates are UTC.

``schema_version`` rises when a field is renamed, removed, required or given another meaning. Adding a field
with a default (``null`` or empty) does not raise it: older lines still read, and ``record_id`` leaves out
what is ``null`` or empty, so that older records keep their ids.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, model_validator

from dynvit.environment import Environment
from dynvit.leaderboard.digest import Digested
from dynvit.leaderboard.frozen import Frozen as Frozen
from dynvit.leaderboard.training import TrainingRecord
from dynvit.units import Rule, Solve

SCHEMA_VERSION: Literal[2] = 2


def _finite(value: JsonValue) -> JsonValue:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(inner)
    return value


def _utc(date: AwareDatetime) -> AwareDatetime:
    if date.utcoffset() != timedelta(0):
        raise ValueError("dates are UTC: use datetime.now(timezone.utc)")
    return date


Percent = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Pixels = Annotated[int, Field(ge=1)]
JsonObject = dict[str, Annotated[JsonValue, AfterValidator(_finite)]]
Knobs = dict[str, bool | int | float | str]
UtcDate = Annotated[AwareDatetime, AfterValidator(_utc)]
Role = Literal["report", "search"]
Origin = Literal["published"]


class MethodRecord(Frozen):
    """Which method, as which package wrote it."""

    name: Name = Field(description="registered name of the method")
    options: JsonObject = Field(description="the method's options, by name: what training fixed")
    distribution: str = Field(description="installed package that registered the method, or the plug-in file's name")
    version: str = Field(description="that package's version; empty for a one-file plug-in")


class CheckpointRecord(Frozen):
    """The trained parts of a method."""

    uri: Name = Field(description="where the checkpoint was found: a published name, an address or a path")
    sha256: Sha256 = Field(description="SHA-256 of the weights file")


class BackboneRecord(Frozen):
    """The static model that the method made dynamic."""

    name: Name = Field(description="timm's model name")
    weights_uri: str | None = Field(description="where the weights came from; null: drawn from the training seed")
    weights_sha256: Sha256 | None = Field(description="SHA-256 of the weights; null: drawn from the training seed")
    image_size: tuple[Pixels, Pixels] = Field(description="height and width of the input, pixels")
    num_classes: int = Field(ge=2, description="classes of the head")
    params: int = Field(ge=1, description="parameters of the backbone alone")


class DatasetRecord(Frozen):
    """Which images, and proof that each was seen exactly once."""

    name: Name = Field(description="registered name of the dataset")
    split: Name = Field(description="split that was measured")
    n_expected: int = Field(ge=1, description="images that the manifest (cut to the limit) names")
    n_unique: int = Field(ge=1, description="different images that were measured")
    n_bad: Count = Field(description="images that did not decode and were left out on request")
    manifest_sha256: Sha256 = Field(description="SHA-256 of the manifest")
    limit: int | None = Field(ge=1, description="--limit: images asked for at most; null: the whole split")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.n_unique != self.n_expected - self.n_bad:
            raise ValueError(
                f"n_unique is {self.n_unique} but n_expected - n_bad is {self.n_expected - self.n_bad}: "
                "images were lost or repeated"
            )
        return self


class PreprocessingRecord(Frozen):
    """How an image became the model's input."""

    image_size: tuple[Pixels, Pixels] = Field(description="height and width after the crop, pixels")
    crop_pct: float = Field(gt=0, le=1, description="share of the resized image that the centre crop keeps")
    crop_mode: Literal["squash", "border"] | None = Field(
        default=None, description="timm's crop_mode: how another aspect ratio is fitted; null: it is cropped (center)"
    )
    interpolation: Name = Field(description="resampling filter of the resize")
    mean: tuple[float, ...] = Field(min_length=1, description="mean per channel, of pixels in [0,1]")
    std: tuple[float, ...] = Field(min_length=1, description="standard deviation per channel, of pixels in [0,1]")


class PointRecord(Frozen):
    """The operating point: what was turned, what it was meant to cost, what it cost."""

    knobs: Knobs = Field(description="knob settings, by the method's own names")
    target_gmacs: Amount | None = Field(description="GMACs an image that were asked for; null: knobs were given")
    realised_gmacs: Amount = Field(description="GMACs an image that ran, mean over the images")
    origin: Origin | None = Field(
        default=None,
        exclude_if=lambda origin: origin is None,  # what was published before stays byte for byte what it is
        description="published: the authors stored the point with their checkpoint; absent: found here",
    )
    solved_by: Solve | None = Field(
        default=None,
        description="what the budget was solved by: cost or accuracy; null: knobs were given, or not known",
    )


class AccuracyRecord(Frozen):
    """How often the model was right."""

    top1_pct: Percent = Field(description="top-1 accuracy, percent")
    top1_ci95_low_pct: Percent = Field(description="lower end of top-1's 95 % interval, percent")
    top1_ci95_high_pct: Percent = Field(description="upper end of top-1's 95 % interval, percent")
    top5_pct: Percent | None = Field(description="top-5 accuracy, percent; null with five classes or fewer")
    n_correct: Count = Field(description="images whose first answer was right")
    interval: Literal["wilson"] = Field(default="wilson", description="how the interval was computed")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.top1_ci95_low_pct <= self.top1_pct <= self.top1_ci95_high_pct:
            raise ValueError("top1_pct lies outside its own interval")
        if self.top5_pct is not None and self.top5_pct < self.top1_pct:
            raise ValueError("top5_pct is below top1_pct")
        return self


class ComputeRecord(Frozen):
    """What ran, per image: the distribution over the measured images."""

    rule: Rule = Field(default="matmul+conv", description="counting rule (dynvit.cost)")
    gmacs_mean: Amount = Field(description="mean GMACs an image, controllers and predictors included")
    gmacs_p5: Amount = Field(description="5th percentile, GMACs")
    gmacs_p50: Amount = Field(description="median, GMACs")
    gmacs_p95: Amount = Field(description="95th percentile, GMACs")
    gmacs_max: Amount = Field(description="costliest image, GMACs")
    dense_gmacs: float = Field(gt=0, description="GMACs an image of the static backbone by the same rule")
    saving_pct: float = Field(le=100, description="100 (1 - gmacs_mean / dense_gmacs); below 0: costs more than dense")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # A mean or percentile of equal numbers may leave them by a rounding.
        slack = 1e-9 * max(self.gmacs_max, 1.0)
        percentiles = (self.gmacs_p5, self.gmacs_p50, self.gmacs_p95, self.gmacs_max)
        if any(low > high + slack for low, high in pairwise(percentiles)):
            raise ValueError("gmacs_p5, p50, p95 and max must not fall")
        if self.gmacs_mean > self.gmacs_max + slack:
            raise ValueError("gmacs_mean is above gmacs_max")
        if not math.isclose(self.saving_pct, saving_pct(self.gmacs_mean, self.dense_gmacs), abs_tol=1e-6):
            raise ValueError("saving_pct is not 100 (1 - gmacs_mean / dense_gmacs)")
        return self


class SeedsRecord(Frozen):
    """Seeds of everything drawn by chance; null where nothing was."""

    data: int | None = Field(description="seed of the held-out split and of the order")
    training: int | None = Field(description="seed of initial weights and training")
    search: int | None = Field(description="seed of the sampler that chose the knobs")


class Record(Digested, Frozen):
    """One measured operating point. The fields are in the order in which a reader asks for them."""

    schema_version: Literal[2] = Field(default=SCHEMA_VERSION, description="version of this schema")
    record_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="hash of what identifies the measurement (dynvit.leaderboard.record.record_id)"
    )
    provenance: Literal["measured"] = Field(default="measured", description="dynvit measured this itself")
    role: Role = Field(description="report: belongs in a front; search: a sampler's trial, never in a front")
    method: MethodRecord = Field(description="the method")
    checkpoint: CheckpointRecord | None = Field(description="its trained parts; null: it has none")
    backbone: BackboneRecord = Field(description="the static model under it")
    dataset: DatasetRecord = Field(description="the images")
    preprocessing: PreprocessingRecord = Field(description="how images became inputs")
    point: PointRecord = Field(description="the operating point")
    accuracy: AccuracyRecord = Field(description="clean accuracy")
    compute: ComputeRecord = Field(description="MACs per image")
    training: TrainingRecord | None = Field(
        default=None,
        exclude_if=lambda training: training is None,  # as it was written before
        description="how its weights came about; absent: not known",
    )
    seeds: SeedsRecord = Field(description="seeds")
    environment: Environment = Field(description="software and machine")
    command: Name = Field(description="command line that made this record")
    git_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        description="commit of the checkout; null: installed from a package"
    )
    date_utc: UtcDate = Field(description="when the measurement ended, UTC")
    wall_s: Amount = Field(description="seconds that the measurement took")
    halved_batch: int | None = Field(
        default=None,
        ge=1,
        exclude_if=lambda images: images is None,
        description="images that batches were cut to where memory ran out; absent: it never did",
    )

    @property
    def seed(self) -> int | None:
        """The seed of its training, of method or backbone; None where nothing was trained here, or it is not known."""
        own = self.seeds.training
        return self.training.seed if own is None and self.training is not None else own

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.accuracy.n_correct > self.dataset.n_unique:
            raise ValueError("n_correct is above n_unique")
        share = 100 * self.accuracy.n_correct / self.dataset.n_unique
        if not math.isclose(self.accuracy.top1_pct, share, abs_tol=1e-6):
            raise ValueError("top1_pct is not 100 n_correct / n_unique")
        if not math.isclose(self.point.realised_gmacs, self.compute.gmacs_mean, rel_tol=1e-9):
            raise ValueError("realised_gmacs is not gmacs_mean")
        expected = record_id(
            role=self.role,
            method=self.method,
            checkpoint=self.checkpoint,
            backbone=self.backbone,
            dataset=self.dataset.name,
            split=self.dataset.split,
            manifest_sha256=self.dataset.manifest_sha256,
            limit=self.dataset.limit,
            preprocessing=self.preprocessing,
            knobs=self.point.knobs,
            rule=self.compute.rule,
            seeds=self.seeds,
        )
        if self.record_id != expected:
            raise ValueError(f"record_id is {self.record_id} but the measurement's is {expected}: edited by hand?")
        return self


def from_version_1(line: JsonObject) -> JsonObject:
    """A record of version 1, which had places for follow-up measurements that were never filled in a file.

    Raises: ``ValueError`` where they are filled.
    """
    if line.get("schema_version") != 1:
        return line
    for name in ("speed", "robustness", "findings"):
        if line.pop(name, None):
            raise ValueError(f"{name} must be empty in a record of version 1: it belongs into a file of its own")
    return line | {"schema_version": SCHEMA_VERSION}


def is_static(record: Record) -> bool:
    """Whether a record is of the static backbone itself."""
    return looks_static(record.point.knobs, record.compute.gmacs_mean, record.compute.dense_gmacs)


def looks_static(knobs: Mapping[str, object], gmacs_mean: float, dense_gmacs: float) -> bool:
    """Whether these are of the static backbone: nothing to turn, and it costs what dense costs."""
    return not knobs and math.isclose(gmacs_mean, dense_gmacs)


def saving_pct(gmacs_mean: float, dense_gmacs: float) -> float:
    """What is saved against the static backbone, in percent of it.

    >>> saving_pct(3.0, 4.0)
    25.0
    """
    return 100 * (1 - gmacs_mean / dense_gmacs)


def saving_lost_pct(gmacs: float, clean: float, dense: float) -> float | None:
    """How much of the saving is lost, under attack say, in percent of it; above 100 where it costs more than dense.

    >>> saving_lost_pct(gmacs=0.9, clean=0.5, dense=1.0)
    80.0
    """
    return 100 * (gmacs - clean) / (dense - clean) if dense > clean and not math.isclose(dense, clean) else None


def record_id(
    *,
    role: Role,
    method: MethodRecord,
    checkpoint: CheckpointRecord | None,
    backbone: BackboneRecord,
    dataset: str,
    split: str,
    manifest_sha256: str,
    limit: int | None,
    preprocessing: PreprocessingRecord,
    knobs: Mapping[str, bool | int | float | str],
    rule: Rule,
    seeds: SeedsRecord,
) -> str:
    """Sixteen hex digits that name a measurement before it is made: the same configuration, the same id.

    Everything that may change the result counts; where a file lay, what the machine was and when it ran do
    not. ``1`` and ``1.0`` are the same setting.
    """
    identity: dict[str, Any] = {
        "role": role,
        "method": method.model_dump(),
        "checkpoint": checkpoint and checkpoint.sha256,
        "backbone": [backbone.name, backbone.weights_sha256, list(backbone.image_size), backbone.num_classes],
        "dataset": [dataset, split, manifest_sha256, limit],
        "preprocessing": preprocessing.model_dump(mode="json"),
        "knobs": dict(knobs),
        "rule": rule,
        "seeds": seeds.model_dump(),
    }
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: JsonValue) -> JsonValue:
    """Numbers in one spelling; keys that say nothing left out, so that a new optional one changes no id."""
    if isinstance(value, dict):
        kept = {key: canonical(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None and inner != {} and inner != []}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
