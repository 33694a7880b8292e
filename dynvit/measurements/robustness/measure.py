"""Attacking measured points: this process's share of each attack."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import torch

from dynvit.data.source import ImageSource
from dynvit.finite import naming
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import images_hash, pack, right_in_all, unpack
from dynvit.leaderboard.record import saving_lost_pct
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.tasks import AttackTask, size_of
from dynvit.measurements.robustness.under_attack import AttackResults, attack, transfer, untouched
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint
from dynvit.options import options_to_json
from dynvit.progress import Progress
from dynvit.units import GIGA

Yielded = tuple[AttackTask, AttackResults]


def result_of(task: AttackTask, results: AttackResults, run: Run) -> RobustnessResult:
    """What is written of an attack."""
    spec, n = task.spec, len(results.ids)
    correct, macs, clean = int(results.right.sum()), results.macs.mean() / GIGA, results.clean_macs.mean() / GIGA
    low, high = wilson(correct, n)
    return RobustnessResult(
        threat="transfer" if task.source else "black-box" if spec.attack.black_box else "white-box",
        norm=spec.threat.norm,
        eps=spec.threat.eps,
        attack=spec.name,
        settings=options_to_json(spec.attack),
        adaptive=spec.variant in ("adaptive", "soft") and not spec.attack.black_box,
        n=n,
        accuracy_pct=100 * correct / n,
        gmacs_mean=float(macs),
        criterion=spec.criterion,
        variant=spec.variant,
        restart=spec.restart or None,
        accuracy_ci95_low_pct=low,
        accuracy_ci95_high_pct=high,
        clean_accuracy_pct=100 * int(results.clean_right.sum()) / n,
        clean_gmacs_mean=float(clean),
        saving_lost_pct=saving_lost_pct(float(macs), float(clean), run.session.dense_gmacs),
        images=images_hash(results.ids),
        right=pack(results.right),
    )


def worst_pct(results: Sequence[RobustnessResult]) -> float:
    """Accuracy under the worst of several attacks on the same images, image by image. Units: percent."""
    left = [unpack(result.right, result.n) for result in results if result.right is not None]
    return 100 * float(right_in_all(left).mean())


def seconds_a_pass(at: MeasuredPoint, few: ImageSource, run: Run) -> float:
    """Of one image, forward and backward, timed on one batch of noise."""
    model = at.opened.model.eval().to(run.device)
    size = min(run.batch_size, len(few))
    images = torch.rand(size, 3, *size_of(at), device=run.device).requires_grad_()
    start = time.perf_counter()
    for _ in range(2):  # the first one warms up
        start = time.perf_counter()
        logits = model(images, at.point).logits
        if logits.requires_grad:
            torch.autograd.grad(logits.sum(), images, allow_unused=True)
        if run.device.type == "cuda":
            torch.cuda.synchronize()
    return (time.perf_counter() - start) / size


def attack_share(task: AttackTask, few: ImageSource, run: Run, progress: Progress) -> AttackResults:
    """This process's images under one attack."""
    at, rule = task.at, run.session.request.rule
    batches = run.batches(at.opened.preprocessing, few)
    passed = _Passed(progress, f"{at.opened.label} {_said(task)}")
    model = at.opened.model.to(run.device)
    with naming(f"model {at.opened.label!r}, {_said(task)}"):
        if task.spec.variant == "static":
            own = untouched(model, at.point, batches, device=run.device, rule=rule, passed=passed)
        else:
            own = attack(model, at.point, batches, task.spec, device=run.device, rule=rule, passed=passed)
    passed.finish(task.work)
    return own


def transfer_shares(group: Sequence[AttackTask], few: ImageSource, run: Run, progress: Progress) -> Iterator[Yielded]:
    """One attack on the source, for all models that share it."""
    first = group[0]
    assert first.source is not None
    passed = _Passed(progress, _said(first))
    targets: list[tuple[DynamicModel, OperatingPoint]] = [
        (task.at.opened.model.to(run.device), task.at.point) for task in group
    ]
    with naming(f"models {', '.join(dict.fromkeys(task.at.opened.label for task in group))}, {_said(first)}"):
        found = transfer(
            first.source.opened.model.to(run.device),
            first.source.point,
            targets,
            run.batches(first.at.opened.preprocessing, few),
            first.spec,
            device=run.device,
            rule=run.session.request.rule,
            passed=passed,
        )
    passed.finish(sum(task.work for task in group))
    yield from zip(group, found, strict=True)


class _Passed:
    """A task's passes, told to the progress as they happen, and made up to what was planned."""

    def __init__(self, progress: Progress, note: str) -> None:
        self.progress, self.note, self.done = progress, note, 0

    def __call__(self, images: int) -> None:
        self.done += images
        self.progress.advance(images, self.note)

    def finish(self, planned: int) -> None:
        self.progress.advance(planned - self.done, self.note)


def _said(task: AttackTask) -> str:
    spec = task.spec
    criterion = "" if spec.criterion == "misclassify" else f" {spec.criterion}"
    form = f"restart {spec.restart}" if spec.restart else spec.variant
    return f"{spec.name} {spec.threat.norm} {spec.threat.eps:.3g} {form}{criterion}"


def together(transfers: Iterable[AttackTask]) -> list[list[AttackTask]]:
    """Transfers of the same attack from the same source on images that are cut alike."""

    def key(task: AttackTask) -> tuple[object, ...]:
        assert task.source is not None
        return task.spec, task.source.record_id, task.at.opened.preprocessing

    groups: dict[tuple[object, ...], list[AttackTask]] = {}
    for task in transfers:
        groups.setdefault(key(task), []).append(task)
    return list(groups.values())
