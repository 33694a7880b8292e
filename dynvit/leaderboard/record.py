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

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from dynvit.environment import Environment
from dynvit.units import Rule

SCHEMA_VERSION: Literal[1] = 1


class Frozen(BaseModel):
    """What every published model shares: immutable, no unknown keys, no coercion, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
    interpolation: Name = Field(description="resampling filter of the resize")
    mean: tuple[float, ...] = Field(min_length=1, description="mean per channel, of pixels in [0,1]")
    std: tuple[float, ...] = Field(min_length=1, description="standard deviation per channel, of pixels in [0,1]")


class PointRecord(Frozen):
    """The operating point: what was turned, what it was meant to cost, what it cost."""

    knobs: Knobs = Field(description="knob settings, by the method's own names")
    target_gmacs: Amount | None = Field(description="GMACs an image that were asked for; null: knobs were given")
    realised_gmacs: Amount = Field(description="GMACs an image that ran, mean over the images")


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
        ladder = (self.gmacs_p5, self.gmacs_p50, self.gmacs_p95, self.gmacs_max)
        if any(low > high + slack for low, high in pairwise(ladder)):
            raise ValueError("gmacs_p5, p50, p95 and max must not fall")
        if self.gmacs_mean > self.gmacs_max + slack:
            raise ValueError("gmacs_mean is above gmacs_max")
        if not math.isclose(self.saving_pct, saving_pct(self.gmacs_mean, self.dense_gmacs), abs_tol=1e-6):
            raise ValueError("saving_pct is not 100 (1 - gmacs_mean / dense_gmacs)")
        return self


class SpeedRecord(Frozen):
    """Time and memory at one batch size on one device, beside the dense backbone in the same run."""

    device: Name = Field(description="device model")
    dtype: Name = Field(description="number type of the forward pass")
    batch_size: int = Field(ge=1, description="images a batch")
    threads: int | None = Field(ge=1, description="processor threads; null on an accelerator")
    execution_mode: Name = Field(
        description="what was timed: predict (skipped work is skipped); ', compiled' where torch.compile made it"
    )
    latency_p50_ms: Amount = Field(description="median time of a batch, milliseconds")
    latency_p95_ms: Amount = Field(description="95th percentile of a batch's time, milliseconds")
    latency_p99_ms: Amount | None = Field(
        default=None, description="99th percentile of a batch's time, milliseconds; null: fewer than 100 batches"
    )
    images_per_s: Amount = Field(description="throughput, images a second")
    peak_memory_mb: Amount | None = Field(description="peak memory, MB (1e6 bytes); null: not measured")
    dense_execution_mode: Name | None = Field(default=None, description="the same of the dense backbone")
    dense_images_per_s: Amount | None = Field(default=None, description="dense throughput in the same rounds, images/s")
    dense_peak_memory_mb: Amount | None = Field(default=None, description="dense peak memory, MB")
    memory_by: Name | None = Field(
        default=None, description="how peak memory was found: the CUDA allocator, or live tensors added up"
    )
    speedup: Amount | None = Field(default=None, description="realised speed-up over dense, median of the quiet rounds")
    speedup_low: Amount | None = Field(default=None, description="the least of the quiet rounds")
    speedup_high: Amount | None = Field(default=None, description="the most of the quiet rounds")
    speedup_promised: Amount | None = Field(
        default=None, description="dense MACs over mean MACs of the very images that were timed"
    )
    speedup_share: Amount | None = Field(default=None, description="realised over promised speed-up")
    energy_mj_per_image: Amount | None = Field(
        default=None, description="energy of the accelerator's board, mJ an image; null: nobody counts it"
    )
    dense_energy_mj_per_image: Amount | None = Field(default=None, description="the same of the dense backbone")
    images: int | None = Field(default=None, ge=1, description="images of a round")
    different_images: int | None = Field(default=None, ge=1, description="different images among them")
    images_seed: int | None = Field(default=None, description="seed that drew the images")
    batches_timed: int | None = Field(default=None, ge=1, description="batches under the percentiles")
    rounds_kept: int | None = Field(default=None, ge=1, description="rounds in which the machine was quiet")
    rounds_run: int | None = Field(default=None, ge=1, description="rounds that were run")
    warmup_runs: Count | None = Field(default=None, description="passes of each before the first round")
    batch_size_asked: int | None = Field(
        default=None, ge=1, description="the batch that was asked for and did not fit in memory; null: this one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.latency_p50_ms > self.latency_p95_ms:
            raise ValueError("latency_p50_ms is above latency_p95_ms")
        if self.speedup is not None and self.speedup_promised and self.speedup_share is not None:
            share = self.speedup / self.speedup_promised
            if not math.isclose(self.speedup_share, share, rel_tol=1e-6):
                raise ValueError("speedup_share is not speedup / speedup_promised")
        if self.rounds_kept and self.rounds_run and self.rounds_kept > self.rounds_run:
            raise ValueError("rounds_kept is above rounds_run")
        return self


class RobustnessRecord(Frozen):
    """Accuracy and compute under one attack or corruption."""

    threat: Name = Field(description="threat model")
    norm: str | None = Field(description="norm of the bound; null: not bounded by a norm")
    eps: Amount | None = Field(description="radius of the bound, pixels in [0,1]; null: not bounded by a norm")
    attack: Name = Field(description="attack or corruption")
    settings: JsonObject = Field(description="the attack's settings, by name")
    adaptive: bool = Field(description="whether the attack knew of the gates and went through them")
    n: int = Field(ge=1, description="images attacked")
    accuracy_pct: Percent = Field(description="top-1 accuracy under attack, percent")
    gmacs_mean_under_attack: Amount = Field(description="mean GMACs an image under attack")
    goal: Name | None = Field(
        default=None, description="what the attack wanted: misclassify, slowdown, slowdown-keep-label; null: nothing"
    )
    variant: Name | None = Field(
        default=None,
        description="what the attack climbed: adaptive, soft, frozen, transfer; null: no gradient of a model",
    )
    accuracy_ci95_low_pct: Percent | None = Field(default=None, description="lower end of its 95 % interval, percent")
    accuracy_ci95_high_pct: Percent | None = Field(default=None, description="upper end of its 95 % interval, percent")
    clean_accuracy_pct: Percent | None = Field(default=None, description="top-1 accuracy of the same images, clean")
    clean_gmacs_mean: Amount | None = Field(default=None, description="mean GMACs an image of the same images, clean")
    saving_taken_back_pct: float | None = Field(
        default=None,
        description="share of the clean images' saving against dense that is gone, percent; null: none was",
    )
    images: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="which images: a hash of their sorted sample ids; answers are compared within one"
    )
    right: str | None = Field(
        default=None,
        description="which images are answered right under attack: a bit each in the order of sorted ids, base64",
    )


class SeedsRecord(Frozen):
    """Seeds of everything drawn by chance; null where nothing was."""

    data: int | None = Field(description="seed of the held-out split and of the order")
    training: int | None = Field(description="seed of initial weights and training")
    search: int | None = Field(description="seed of the sampler that chose the knobs")


class Record(Frozen):
    """One measured operating point. The fields are in the order in which a reader asks for them."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="version of this schema")
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
    speed: tuple[SpeedRecord, ...] = Field(default=(), description="timings; empty: not timed")
    robustness: tuple[RobustnessRecord, ...] = Field(default=(), description="attacks; empty: not attacked")
    findings: tuple[str, ...] = Field(
        default=(), description="signs of gradient masking among the attacks; empty: none, or not attacked"
    )
    seeds: SeedsRecord = Field(description="seeds")
    environment: Environment = Field(description="software and machine")
    command: Name = Field(description="command line that made this record")
    git_sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        description="commit of the checkout; null: installed from a package"
    )
    date_utc: UtcDate = Field(description="when the measurement ended, UTC")
    wall_s: Amount = Field(description="seconds that the measurement took")

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


def is_static(record: Record) -> bool:
    """Whether a record is of the static backbone itself: nothing to turn, and it costs what dense costs."""
    return not record.point.knobs and math.isclose(record.compute.gmacs_mean, record.compute.dense_gmacs)


def saving_pct(gmacs_mean: float, dense_gmacs: float) -> float:
    """What is saved against the static backbone, in percent of it.

    >>> saving_pct(3.0, 4.0)
    25.0
    """
    return 100 * (1 - gmacs_mean / dense_gmacs)


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
    """Sixteen hex digits that name a measurement before it is made: the same question, the same id.

    Everything that may change the answer counts; where a file lay, what the machine was and when it ran do
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
