"""Attacking measured points: each attack is a line of its own, and one that is there is not run again."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object

from dynvit.attacks import AttackSpec
from dynvit.bench.config import BenchConfig
from dynvit.budgets import GIGA
from dynvit.data.opening import drawn
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.leaderboard.follow_up import ROBUSTNESS, RobustnessFollowUp, RobustnessStore, follow_up_key
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import images_hash, pack, unpack
from dynvit.leaderboard.record import RobustnessRecord
from dynvit.measurements.accuracy.measure import Measurer, Target
from dynvit.measurements.robustness.summary import saving_lost_pct
from dynvit.measurements.robustness.tasks import Job, Subject, chosen, jobs, passes, size_of, slows
from dynvit.measurements.robustness.under_attack import AttackResults, attack, transfer, untouched
from dynvit.options import options_to_json
from dynvit.progress import Progress, clock
from dynvit.session.open_model import OpenModel


@dataclass
class Attacker:
    """Runs attacks on the images of a measurer, and attaches what they leave to the records.

    Every process attacks its share of the batches; the first one writes. All know what is done.
    """

    measurer: Measurer
    store: RobustnessStore
    known: dict[str, RobustnessFollowUp] = field(default_factory=dict)
    images: str = field(init=False)

    def __post_init__(self) -> None:
        self.images = images_hash(sample.key for sample in self.measurer.source.manifest.samples)

    def load_known(self) -> None:
        """Read what is attached; the other processes learn it from the first."""
        lines = [self.store.read() if self.measurer.state.is_main_process else []]
        broadcast_object_list(lines)
        self.known = {line.key: line for line in lines[0]}

    def missing(self, wanted: Iterable[Job]) -> list[Job]:
        """Those of the jobs that no line answers, each once."""
        found = {self._key(job): job for job in wanted}
        return [job for key, job in found.items() if key not in self.known]

    def run(self, wanted: Sequence[Job]) -> None:
        """Run what is missing; transfers last, one attack on the source for all of its targets."""
        todo = self.missing(wanted)
        if not todo:
            return
        images = self.measurer.images(todo[0].subject.arm)
        total = sum(passes(job) for job in todo) * images
        quiet = not self.measurer.state.is_main_process
        if not quiet:
            self._estimate(todo, total)
        with Progress("robustness", total, unit="passes", quiet=quiet) as progress:
            for job in todo:
                if job.source is None:
                    self._attack(job, progress)
            for group in _together(job for job in todo if job.source is not None):
                self._transfer(group, progress)

    def robust_pct(self, subject: Subject, trial: AttackSpec) -> float:
        """Accuracy under one attack through the gates, worst of its variants: what a search asks."""
        wanted = [job for job in jobs(subject, [trial], None, checks=False) if job.spec.criterion == "misclassify"]
        self.run([job for job in wanted if job.spec.variant in ("adaptive", "soft")])
        found = [self.known[key].measured for key in map(self._key, wanted) if key in self.known]
        left = [unpack(measured.right, measured.n) for measured in found if measured.right is not None]
        return 100 * float(np.logical_and.reduce(left).mean())

    def _key(self, job: Job) -> str:
        return follow_up_key(job.subject.record.record_id, job.question(self.images))

    def _attack(self, job: Job, progress: Progress) -> None:
        subject, state = job.subject, self.measurer.state
        device, rule = state.device, self.measurer.context.rule
        batches = self.measurer.batches(subject.arm)
        told = _Told(progress, f"{subject.arm.label} {_said(job)}")
        model = subject.arm.model.to(device)
        if job.spec.variant == "static":
            own = untouched(model, subject.point, batches, device=device, rule=rule, passed=told)
        else:
            own = attack(model, subject.point, batches, job.spec, device=device, rule=rule, passed=told)
        told.finish(passes(job) * batches.images)
        self._attach(job, own)

    def _transfer(self, group: Sequence[Job], progress: Progress) -> None:
        first, state = group[0], self.measurer.state
        assert first.source is not None
        batches = self.measurer.batches(first.subject.arm)
        told = _Told(progress, _said(first))
        targets: list[tuple[DynamicModel, OperatingPoint]] = [
            (job.subject.arm.model.to(state.device), job.subject.point) for job in group
        ]
        found = transfer(
            first.source.arm.model.to(state.device),
            first.source.point,
            targets,
            batches,
            first.spec,
            device=state.device,
            rule=self.measurer.context.rule,
            passed=told,
        )
        told.finish(passes(first) * batches.images * len(group))
        for job, own in zip(group, found, strict=True):
            self._attach(job, own)

    def _attach(self, job: Job, own: AttackResults) -> None:
        shares: list[AttackResults] = gather_object([own])
        line = [self._line(job, shares[0].merged(shares[1:])) if self.measurer.state.is_main_process else None]
        broadcast_object_list(line)
        assert line[0] is not None
        if self.measurer.state.is_main_process:
            self.store.append(line[0])
        self.known[line[0].key] = line[0]

    def _line(self, job: Job, results: AttackResults) -> RobustnessFollowUp:
        context, spec, n = self.measurer.context, job.spec, len(results.ids)
        correct, macs, clean = int(results.right.sum()), results.macs.mean() / GIGA, results.clean_macs.mean() / GIGA
        low, high = wilson(correct, n)
        measured = RobustnessRecord(
            threat="transfer" if job.source else "black-box" if spec.attack.black_box else "white-box",
            norm=spec.threat.norm,
            eps=spec.threat.eps,
            attack=job.spec.name,
            settings=options_to_json(spec.attack),
            adaptive=spec.variant in ("adaptive", "soft") and not spec.attack.black_box,
            n=n,
            accuracy_pct=100 * correct / n,
            gmacs_mean_under_attack=float(macs),
            goal=spec.criterion,
            variant=spec.variant,
            accuracy_ci95_low_pct=low,
            accuracy_ci95_high_pct=high,
            clean_accuracy_pct=100 * int(results.clean_right.sum()) / n,
            clean_gmacs_mean=float(clean),
            saving_taken_back_pct=saving_lost_pct(float(macs), float(clean), context.dense_gmacs),
            images=self.images,
            right=pack(results.right),
        )
        question = job.question(self.images)
        return RobustnessFollowUp(
            record_id=job.subject.record.record_id,
            key=follow_up_key(job.subject.record.record_id, question),
            question=question,
            measured=measured,
            environment=context.environment,
            command=context.command,
            git_sha=context.git_sha,
            date_utc=datetime.now(UTC),
            wall_s=round(results.seconds, 3),
        )

    def _estimate(self, todo: Sequence[Job], total: int) -> None:
        """Say beforehand what it may cost: a pass there and back is timed on one batch of noise."""
        subject, state = todo[0].subject, self.measurer.state
        model = subject.arm.model.eval().to(state.device)
        size = min(self.measurer.batch_size, len(self.measurer.source))
        images = torch.rand(size, 3, *size_of(subject), device=state.device).requires_grad_()
        start = time.perf_counter()
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            logits = model(images, subject.point).logits
            if logits.requires_grad:
                torch.autograd.grad(logits.sum(), images, allow_unused=True)
            if state.device.type == "cuda":
                torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / size * total
        points = len({job.subject.record.record_id for job in todo})
        sys.stderr.write(
            f"robustness: {len(todo)} attacks on {points} points, {len(self.measurer.source):,} images: at most about "
            f"{clock(seconds)}; images that fall early take less\n"
        )
        sys.stderr.flush()


def attack_points(
    config: BenchConfig,
    folder: Path,
    arms: Sequence[OpenModel],
    plan: Mapping[str, Sequence[Target]],
    measurer: Measurer,
) -> None:
    """Attack points of every arm on images of the reported split, and attach what is left to their records."""
    subjects = {
        arm.label: [Subject(arm, t.point, measurer.record(arm, t.point)) for t in plan[arm.label]] for arm in arms
    }
    source = next((subjects[arm.label][0] for arm in arms if arm.method.static), None)
    if source is None:
        warnings.warn(
            "no dense backbone among the methods: nothing is transferred from it, nor is robustness held against it; "
            "dynvit bench --methods dense,… does both",
            stacklevel=2,
        )
    count = None if config.robustness_points == "all" else config.robustness_points
    wanted = [
        job
        for arm in arms
        for subject in chosen(subjects[arm.label], count)
        for job in jobs(subject, config.attacks(), source, checks=config.masking_checks, slows=slows(subject))
    ]
    with attacker_of(config, folder, measurer) as attacker:
        attacker.run(wanted)


@contextmanager
def attacker_of(config: BenchConfig, folder: Path, measurer: Measurer) -> Iterator[Attacker]:
    """An attacker of some of the measurer's images, a fair draw; the first process holds its file meanwhile."""
    few = drawn(measurer.source, config.robustness_limit, config.seed)
    store = RobustnessStore(folder / ROBUSTNESS)
    attacker = Attacker(replace(measurer, source=few, _pixels={}), store)
    with store if measurer.state.is_main_process else nullcontext():
        attacker.load_known()
        yield attacker


class _Told:
    """A job's passes, told to the progress as they happen, and made up to what was planned."""

    def __init__(self, progress: Progress, note: str) -> None:
        self.progress, self.note, self.done = progress, note, 0

    def __call__(self, images: int) -> None:
        self.done += images
        self.progress.advance(images, self.note)

    def finish(self, planned: int) -> None:
        self.progress.advance(planned - self.done, self.note)


def _said(job: Job) -> str:
    goal = "" if job.spec.criterion == "misclassify" else f" {job.spec.criterion}"
    return f"{job.spec.name} {job.spec.threat.norm} {job.spec.threat.eps:.3g} {job.spec.variant}{goal}"


def _together(transfers: Iterable[Job]) -> list[list[Job]]:
    """Transfers of the same attack from the same source on images that are cut alike."""

    def key(job: Job) -> tuple[object, ...]:
        assert job.source is not None
        return job.spec, job.source.record.record_id, job.subject.arm.preprocessing

    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in transfers:
        groups.setdefault(key(job), []).append(job)
    return list(groups.values())
