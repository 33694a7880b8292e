"""From one point's answers to its record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from dynvit.environment import Environment
from dynvit.interface import OperatingPoint, Rule
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.record import (
    AccuracyRecord,
    ComputeRecord,
    DatasetRecord,
    PointRecord,
    Record,
    Role,
    SeedsRecord,
    record_id,
    saving_pct,
)
from dynvit.measurements.accuracy.evaluate import SampleResults
from dynvit.session.open_model import OpenModel
from dynvit.units import GIGA


@dataclass(frozen=True)
class Context:
    """What all records of a bench have in common.

    Units: ``dense_gmacs`` GMACs per image of the static backbone, by ``rule``.
    """

    role: Role
    dataset: str
    split: str
    manifest_sha256: str
    n_expected: int
    limit: int | None
    rule: Rule
    dense_gmacs: float
    data_seed: int
    search_seed: int | None
    environment: Environment
    command: str
    git_sha: str | None

    def record_id(self, arm: OpenModel, point: OperatingPoint) -> str:
        """The name of a measurement, known before it is made."""
        return record_id(
            role=self.role,
            method=arm.method_record(),
            checkpoint=arm.checkpoint,
            backbone=arm.backbone_record(),
            dataset=self.dataset,
            split=self.split,
            manifest_sha256=self.manifest_sha256,
            limit=self.limit,
            preprocessing=arm.preprocessing_record(),
            knobs=dict(point),
            rule=self.rule,
            seeds=self._seeds(arm),
        )

    def record(
        self, arm: OpenModel, point: OperatingPoint, target_gmacs: float | None, results: SampleResults, n_bad: int
    ) -> Record:
        """The record of a point. Raises: ``ValueError`` where a sample was lost or measured twice."""
        n = len(results.ids)
        compute = self._compute(results)
        return Record(
            record_id=self.record_id(arm, point),
            role=self.role,
            method=arm.method_record(),
            checkpoint=arm.checkpoint,
            backbone=arm.backbone_record(),
            dataset=DatasetRecord(
                name=self.dataset,
                split=self.split,
                n_expected=self.n_expected,
                n_unique=len(set(results.ids)),
                n_bad=n_bad,
                manifest_sha256=self.manifest_sha256,
                limit=self.limit,
            ),
            preprocessing=arm.preprocessing_record(),
            point=PointRecord(knobs=dict(point), target_gmacs=target_gmacs, realised_gmacs=compute.gmacs_mean),
            accuracy=accuracy(results, n, arm.backbone.num_classes),
            compute=compute,
            seeds=self._seeds(arm),
            environment=self.environment,
            command=self.command,
            git_sha=self.git_sha,
            date_utc=datetime.now(UTC),
            wall_s=round(results.seconds, 3),
        )

    def _seeds(self, arm: OpenModel) -> SeedsRecord:
        return SeedsRecord(data=self.data_seed, training=arm.training_seed, search=self.search_seed)

    def _compute(self, results: SampleResults) -> ComputeRecord:
        gmacs = results.macs / GIGA
        p5, p50, p95 = (float(value) for value in np.percentile(gmacs, [5, 50, 95]))
        mean = float(results.macs.mean()) / GIGA
        return ComputeRecord(
            rule=self.rule,
            gmacs_mean=mean,
            gmacs_p5=p5,
            gmacs_p50=p50,
            gmacs_p95=p95,
            gmacs_max=float(gmacs.max()),
            dense_gmacs=self.dense_gmacs,
            saving_pct=saving_pct(mean, self.dense_gmacs),
        )


def accuracy(results: SampleResults, n: int, classes: int) -> AccuracyRecord:
    """Top-1 with its interval, and top-5 where it says anything."""
    correct = int((results.rank == 0).sum())
    interval = wilson(correct, n)
    return AccuracyRecord(
        top1_pct=100 * correct / n,
        top1_ci95_low_pct=interval.low_pct,
        top1_ci95_high_pct=interval.high_pct,
        top5_pct=100 * int((results.rank < 5).sum()) / n if classes > 5 else None,
        n_correct=correct,
    )
