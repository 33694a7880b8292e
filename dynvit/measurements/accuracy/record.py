"""From one point's answers to its record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from dynvit.interface import OperatingPoint
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.record import (
    AccuracyRecord,
    ComputeRecord,
    DatasetRecord,
    Origin,
    PointRecord,
    Record,
    SeedsRecord,
    record_id,
    saving_pct,
)
from dynvit.measurements.accuracy.evaluate import SampleResults
from dynvit.measurements.run import Run
from dynvit.session import OpenModel
from dynvit.units import GIGA, Solve


@dataclass(frozen=True)
class Target:
    """A point to measure, the budget it was solved for and by what, or who else it comes from.

    Units: ``gmacs`` GMACs per image.
    """

    point: OperatingPoint
    gmacs: float | None = None
    solved_by: Solve | None = None
    origin: Origin | None = None


def name_of(opened: OpenModel, point: OperatingPoint, run: Run) -> str:
    """The record id of a measurement, known before it is made."""
    return record_id(
        role=run.role,
        method=opened.method_record(),
        checkpoint=opened.checkpoint,
        backbone=opened.backbone_record(),
        dataset=run.session.dataset.name,
        split=run.split,
        manifest_sha256=run.source.manifest.sha256,
        limit=run.limit,
        preprocessing=opened.preprocessing_record(),
        knobs=dict(point),
        rule=run.session.request.rule,
        seeds=_seeds(opened, run),
    )


def record_of(opened: OpenModel, target: Target, results: SampleResults, n_bad: int, run: Run) -> Record:
    """The record of a point.

    Args:
        opened: the model.
        target: its operating point, and where it comes from.
        results: of every process.
        n_bad: samples that could not be read.
        run: what it was measured within.

    Raises: ``ValueError`` where a sample was lost or measured twice.
    """
    compute, point = _compute(results, run), target.point
    return Record(
        record_id=name_of(opened, point, run),
        role=run.role,
        method=opened.method_record(),
        checkpoint=opened.checkpoint,
        backbone=opened.backbone_record(),
        dataset=DatasetRecord(
            name=run.session.dataset.name,
            split=run.split,
            n_expected=run.source.expected,
            n_unique=len(set(results.ids)),
            n_bad=n_bad,
            manifest_sha256=run.source.manifest.sha256,
            limit=run.limit,
        ),
        preprocessing=opened.preprocessing_record(),
        training=opened.training_record(),
        point=PointRecord(
            knobs=dict(point),
            target_gmacs=target.gmacs,
            realised_gmacs=compute.gmacs_mean,
            origin=target.origin,
            solved_by=target.solved_by,
        ),
        accuracy=accuracy(results, opened.backbone.num_classes),
        compute=compute,
        seeds=_seeds(opened, run),
        environment=run.environment,
        command=run.command,
        git_sha=run.git_sha,
        date_utc=datetime.now(UTC),
        wall_s=round(results.seconds, 3),
        halved_batch=results.piece,
    )


def accuracy(results: SampleResults, classes: int) -> AccuracyRecord:
    """Top-1 with its interval, and top-5 where it says anything."""
    correct, n = int((results.rank == 0).sum()), len(results.ids)
    interval = wilson(correct, n)
    return AccuracyRecord(
        top1_pct=100 * correct / n,
        top1_ci95_low_pct=interval.low_pct,
        top1_ci95_high_pct=interval.high_pct,
        top5_pct=100 * int((results.rank < 5).sum()) / n if classes > 5 else None,
        n_correct=correct,
    )


def _compute(results: SampleResults, run: Run) -> ComputeRecord:
    gmacs = results.macs / GIGA
    p5, p50, p95 = (float(value) for value in np.percentile(gmacs, [5, 50, 95]))
    mean, dense = float(results.macs.mean()) / GIGA, run.session.dense_gmacs
    return ComputeRecord(
        rule=run.session.request.rule,
        gmacs_mean=mean,
        gmacs_p5=p5,
        gmacs_p50=p50,
        gmacs_p95=p95,
        gmacs_max=float(gmacs.max()),
        dense_gmacs=dense,
        saving_pct=saving_pct(mean, dense),
    )


def _seeds(opened: OpenModel, run: Run) -> SeedsRecord:
    return SeedsRecord(data=run.session.data_seed, training=opened.training_seed, search=run.search_seed)
