"""Which attacks are run on which measured points: planned before any of them is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dynvit.attacks import AttackSpec
from dynvit.attacks.spec import Variant
from dynvit.interface import OperatingPoint
from dynvit.leaderboard.front import non_dominated
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.robustness.specs import masking_checks
from dynvit.measurements.robustness.variants import compute_has_gradient, variants_of
from dynvit.options import options_to_json
from dynvit.session.open_model import OpenModel


@dataclass(frozen=True)
class Subject:
    """A measured point of an arm."""

    arm: OpenModel
    point: OperatingPoint
    record: Record


@dataclass(frozen=True)
class Job:
    """One attack on one point. ``source`` is what is climbed in its place (a transfer)."""

    subject: Subject
    spec: AttackSpec
    source: Subject | None = None

    def question(self, images: str) -> JsonObject:
        """All that its answer depends on, beside the record. ``images`` says which were attacked."""
        threat = self.spec.threat
        return {
            "attack": self.spec.name,
            "settings": options_to_json(self.spec.attack),
            "norm": threat.norm,
            "eps": threat.eps,
            "goal": self.spec.criterion,
            "variant": self.spec.variant,
            "images": images,
            "source": self.source.record.record_id if self.source else None,
            "patient": True if self.source and getattr(self.spec.attack, "early_stop", False) else None,
        }


def chosen(subjects: Sequence[Subject], count: int | None) -> list[Subject]:
    """Of one arm's points those to attack: ``count`` of its front, evenly spread over it, ends included; None: all."""
    if count is None:
        return list(subjects)
    points = [(s.record.compute.gmacs_mean, s.record.accuracy.top1_pct) for s in subjects]
    on_front = non_dominated(points, minimise=(True, False))
    front = sorted(
        (s for s, keep in zip(subjects, on_front, strict=True) if keep), key=lambda s: s.record.compute.gmacs_mean
    )
    last = len(front) - 1
    places = [last / 2] if count == 1 else np.linspace(0, last, count)
    return [front[place] for place in dict.fromkeys(round(float(place)) for place in places)]


def jobs(
    subject: Subject, trials: Sequence[AttackSpec], source: Subject | None, *, checks: bool, slows: bool = True
) -> Iterator[Job]:
    """Every attack on a point: on accuracy in all variants, on compute, from the static backbone, and the checks.

    Where images differ in cost and no gradient says how (``slows`` False), there is no attack on compute.
    """
    arm = subject.arm
    for trial in trials:
        variants = variants_of(arm.model, trial.attack, "misclassify", adaptive_cost=arm.method.adaptive_cost)
        yield from (_job(subject, trial, variant) for variant in variants)
        if trial.attack.black_box:
            continue
        if source is not None and source is not subject and size_of(source) == size_of(subject):
            yield Job(subject, trial.of(variant="transfer"), source)
        if slows and not trial.attack.labels_only:
            slow: Variant = "adaptive" if arm.method.adaptive_cost else "static"
            yield Job(subject, trial.of(criterion="slowdown", variant=slow))
            yield Job(subject, trial.of(criterion="slowdown-keep-label", variant=slow))
    blind = all(trial.attack.black_box for trial in trials)  # as is advised where there is no gradient
    if checks:
        for check in masking_checks(trials, size_of(subject)):
            if check.attack.black_box or not blind:
                yield _job(subject, check, "adaptive")


def slows(subject: Subject) -> bool:
    """Whether a slowdown of a point can be told: images that cost alike have none, others need a gradient."""
    model = subject.arm.model
    device = next(model.parameters()).device
    climbs = not subject.arm.method.adaptive_cost or compute_has_gradient(
        model, subject.point, torch.rand(1, 3, *size_of(subject), device=device)
    )
    if not climbs:
        warnings.warn(
            f"no gradient of the compute of {subject.arm.label} reaches the image: it is not attacked "
            '(only a model that supports "compute proxy" can be)',
            stacklevel=2,
        )
    return climbs


def passes(job: Job) -> int:
    """The most passes through the model that an image takes."""
    given = job.spec.attack
    if job.spec.variant == "static":
        return 1
    starts = getattr(given, "restarts", 1) * getattr(given, "targets", 1)
    return int(getattr(given, "queries", getattr(given, "steps", 1)) * starts)


def size_of(subject: Subject) -> tuple[int, int]:
    """Height and width of its images. Units: pixels."""
    side = subject.arm.preprocessing.image_size
    return side, side


def _job(subject: Subject, trial: AttackSpec, variant: Variant) -> Job:
    return Job(subject, trial.of(variant=variant))
