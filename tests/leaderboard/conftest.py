"""Records to test with: whole and consistent, any part of them to choose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import settings

from dynvit.environment import Environment
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.record import (
    AccuracyRecord,
    BackboneRecord,
    CheckpointRecord,
    ComputeRecord,
    DatasetRecord,
    Knobs,
    MethodRecord,
    PointRecord,
    PreprocessingRecord,
    Record,
    Role,
    SeedsRecord,
    record_id,
    saving_pct,
)

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")  # a busy machine is no fault of what is tried

Measure = Callable[..., Record]


def measured(
    method: str = "topk",
    gmacs: float = 0.8,
    correct: int = 3500,
    *,
    n: int = 5000,
    dense: float = 1.2537,
    knobs: Knobs | None = None,
    role: Role = "report",
    backbone: str = "deit_tiny_patch16_224",
    dataset: str = "imagenet",
    seed: int = 0,
    date: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
) -> Record:
    low, high = wilson(correct, n)
    top1 = 100 * correct / n
    parts = {
        "role": role,
        "method": MethodRecord(name=method, options={}, distribution="dynvit", version="0.1.0"),
        "checkpoint": CheckpointRecord(uri="somewhere", sha256="c" * 64),
        "backbone": BackboneRecord(
            name=backbone,
            weights_uri="weights",
            weights_sha256="b" * 64,
            image_size=(224, 224),
            num_classes=1000,
            params=5_717_416,
        ),
        "preprocessing": PreprocessingRecord(
            image_size=(224, 224), crop_pct=0.9, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        "seeds": SeedsRecord(data=0, training=seed, search=None),
    }
    knobs = {"keep_ratio": gmacs / dense} if knobs is None else knobs
    name = record_id(
        **parts, dataset=dataset, split="validation", manifest_sha256="a" * 64, limit=n, knobs=knobs, rule="matmul+conv"
    )
    return Record(
        record_id=name,
        **parts,
        dataset=DatasetRecord(
            name=dataset, split="validation", n_expected=n, n_unique=n, n_bad=0, manifest_sha256="a" * 64, limit=n
        ),
        point=PointRecord(knobs=knobs, target_gmacs=None, realised_gmacs=gmacs),
        accuracy=AccuracyRecord(
            top1_pct=top1,
            top1_ci95_low_pct=low,
            top1_ci95_high_pct=high,
            top5_pct=min(100.0, top1 + 15),
            n_correct=correct,
        ),
        compute=ComputeRecord(
            gmacs_mean=gmacs,
            gmacs_p5=gmacs,
            gmacs_p50=gmacs,
            gmacs_p95=gmacs,
            gmacs_max=gmacs,
            dense_gmacs=dense,
            saving_pct=saving_pct(gmacs, dense),
        ),
        environment=Environment(
            python="3.12.1",
            platform="Linux x86_64",
            cpu=None,
            cpu_threads=2,
            device="cpu",
            dynvit="0.1.0",
            torch="2.15.0",
            timm="1.0.31",
            accelerate=None,
            optuna=None,
            numpy="2.4.6",
        ),
        command="dynvit bench",
        git_sha=None,
        date_utc=date,
        wall_s=12.5,
    )


@pytest.fixture(scope="session")
def measure() -> Measure:
    """A function that makes one consistent record of what it is told and defaults."""
    return measured
