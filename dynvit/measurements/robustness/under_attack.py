"""Accuracy and compute of a model under attack at one operating point, image by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynvit import cost
from dynvit.attacks import Answer, Attack, Threat, frozen_parameters
from dynvit.attacks.criterion import margin
from dynvit.data.pixels import PixelBatch
from dynvit.interface import DynamicModel, OperatingPoint, Rule
from dynvit.measurements.accuracy.evaluate import to_pixels
from dynvit.measurements.robustness.variants import CriterionName, Variant, answer_of, goal_of


@dataclass(frozen=True)
class AttackResults:
    """What became of each image, in the order of ``ids``. Shape: all (n,). Units: ``macs`` per image."""

    ids: tuple[str, ...]
    right: NDArray[np.bool_]
    macs: NDArray[np.float64]
    clean_right: NDArray[np.bool_]
    clean_macs: NDArray[np.float64]
    seconds: float

    def merged(self, others: Iterable[AttackResults]) -> AttackResults:
        """These and the others' rows, each id once, sorted by id: the same for any number of processes."""
        parts = [self, *others]
        ids = [i for part in parts for i in part.ids]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        first = [k for n, k in enumerate(order) if n == 0 or ids[k] != ids[order[n - 1]]]

        def joined(name: str) -> NDArray[Any]:
            rows: NDArray[Any] = np.concatenate([getattr(part, name) for part in parts])[first]
            return rows

        return AttackResults(
            tuple(ids[k] for k in first),
            joined("right"),
            joined("macs"),
            joined("clean_right"),
            joined("clean_macs"),
            max(part.seconds for part in parts),
        )


@dataclass(frozen=True)
class AttackSpec:
    """One attack within one threat: what it wants, and what of the model it climbs."""

    attack: Attack
    threat: Threat
    aim: CriterionName = "misclassify"
    variant: Variant = "adaptive"


@dataclass(frozen=True)
class Judged:
    """What ``predict`` says of images. Shape: (B,)."""

    answer: Tensor
    right: Tensor
    macs: Tensor


def attack(
    model: DynamicModel,
    point: OperatingPoint,
    batches: Iterable[PixelBatch],
    spec: AttackSpec,
    *,
    device: torch.device | str = "cpu",
    rule: Rule = "matmul+conv",
    passed: Callable[[int], None] = lambda images: None,
) -> AttackResults:
    """Attack the model at the point, and judge what is found by ``predict``.

    An image that is wrong clean is wrong under attack, and costs what it costs; the others are attacked. A slowdown
    attacks every image, and keeps the dearer of the clean image and what it found. ``passed`` is told how many images
    each pass through the model had.
    """
    rows = [
        _attack_batch(model, point, batch.ids, pixels, labels, spec, rule, passed)
        for batch, pixels, labels in _batches(model, batches, device)
    ]
    return _joined(rows)


def transfer(
    source: DynamicModel,
    source_point: OperatingPoint,
    targets: Sequence[tuple[DynamicModel, OperatingPoint]],
    batches: Iterable[PixelBatch],
    spec: AttackSpec,
    *,
    device: torch.device | str = "cpu",
    rule: Rule = "matmul+conv",
    passed: Callable[[int], None] = lambda images: None,
) -> list[AttackResults]:
    """Attack one model, and judge others by what is found: the attack is run once for all of them."""
    rows: list[list[AttackResults]] = [[] for _ in targets]
    for batch, clean, labels in _batches(source, batches, device):
        with frozen_parameters(source):
            answer = _told(lambda images, _: source(images, source_point), passed)
            # To the end: an image that just fools the source says little of what it would do to others.
            found = _early(spec.attack, False)(answer, clean, labels, batch.ids, spec.threat)
        for index, (model, point) in enumerate(targets):
            start = time.perf_counter()
            model.eval()
            before, after = _judge(model, point, clean, labels, rule), _judge(model, point, found, labels, rule)
            rows[index].append(_results(batch.ids, before, after, before.right & after.right, after.macs, start))
    return [_joined(those) for those in rows]


def untouched(
    model: DynamicModel,
    point: OperatingPoint,
    batches: Iterable[PixelBatch],
    *,
    device: torch.device | str = "cpu",
    rule: Rule = "matmul+conv",
    passed: Callable[[int], None] = lambda images: None,
) -> AttackResults:
    """The clean images: what a slowdown leaves of a model whose images all cost alike."""
    rows = []
    for batch, clean, labels in _batches(model, batches, device):
        start = time.perf_counter()
        before = _judge(model, point, clean, labels, rule)
        passed(len(clean))
        rows.append(_results(batch.ids, before, before, before.right, before.macs, start))
    return _joined(rows)


def _attack_batch(
    model: DynamicModel,
    point: OperatingPoint,
    ids: Sequence[str],
    clean: Tensor,
    labels: Tensor,
    spec: AttackSpec,
    rule: Rule,
    passed: Callable[[int], None],
) -> AttackResults:
    start = time.perf_counter()
    before = _judge(model, point, clean, labels, rule)
    slow = spec.aim != "misclassify"
    rows = torch.arange(len(clean), device=clean.device) if slow else before.right.nonzero()[:, 0]
    images = clean.clone()
    if len(rows):
        images[rows] = _search(
            model,
            point,
            clean[rows],
            before.answer[rows] if slow else labels[rows],
            [ids[row] for row in rows.tolist()],
            spec,
            passed,
        )
    after = _judge(model, point, images, labels, rule)
    if not slow:
        return _results(ids, before, after, before.right & after.right, after.macs, start)
    better = after.macs > before.macs
    if spec.aim == "slowdown-keep-label":
        better &= after.answer == before.answer
    right = torch.where(better, after.right, before.right)
    return _results(ids, before, after, right, torch.where(better, after.macs, before.macs), start)


def _search(
    model: DynamicModel,
    point: OperatingPoint,
    clean: Tensor,
    labels: Tensor,
    ids: Sequence[str],
    spec: AttackSpec,
    passed: Callable[[int], None],
) -> Tensor:
    """Images within the threat. Those that the attack holds for won are attacked no further, unless ``predict`` gets
    them right all the same: it rounds otherwise, and takes decisions that frozen gates did not. Those are attacked to
    the end."""
    given, goal = spec.attack, goal_of(spec.aim, spec.variant)
    black_box = given.black_box

    def run(attack: Attack, rows: Tensor) -> Tensor:
        seen = answer_of(model, point, spec.variant, spec.aim, clean[rows], black_box=black_box)
        chosen = [ids[row] for row in rows.tolist()]
        return attack(_told(seen, passed), clean[rows], labels[rows], chosen, spec.threat, goal)

    every = torch.arange(len(clean), device=clean.device)
    hasty = _early(given, True) if spec.aim == "misclassify" else given
    with frozen_parameters(model):
        found = run(hasty, every)
        patient = _early(given, False)
        if hasty == patient:
            return found
        with torch.no_grad():
            believed = margin(
                answer_of(model, point, spec.variant, spec.aim, clean, black_box=black_box)(found, every), labels
            )
            kept = margin(model.predict(found, point), labels) <= 0
        again = ((believed > 0) & kept).nonzero()[:, 0]
        if len(again):
            found[again] = run(patient, again)
    return found


def _early(attack: Attack, early: bool) -> Attack:
    """The attack that leaves out images as soon as they are won, or does not, where it has that choice."""
    if not hasattr(attack, "early_stop") or getattr(attack, "keep", "best") != "best":
        return attack
    settings: Any = attack
    chosen: Attack = replace(settings, early_stop=early)
    return chosen


def _told(answer: Answer, passed: Callable[[int], None]) -> Answer:
    def tell(images: Tensor, rows: Tensor) -> Any:
        passed(len(images))
        return answer(images, rows)

    return tell


def _batches(
    model: DynamicModel, batches: Iterable[PixelBatch], device: torch.device | str
) -> Iterable[tuple[PixelBatch, Tensor, Tensor]]:
    model.eval()
    for batch in batches:
        yield batch, to_pixels(batch.images.to(device)), batch.labels.to(device)


@torch.no_grad()
def _judge(model: DynamicModel, point: OperatingPoint, images: Tensor, labels: Tensor, rule: Rule) -> Judged:
    found = model.predict(images, point)
    # As accuracy does: a non-finite answer is never right, and the first of equals is the answer.
    finite = torch.isfinite(found.logits).all(1)
    answer = found.logits.argmax(1)
    return Judged(answer, (answer == labels) & finite, cost.macs(found.usage, rule).to(images.device))


def _results(
    ids: Sequence[str], before: Judged, after: Judged, right: Tensor, macs: Tensor, start: float
) -> AttackResults:
    return AttackResults(
        tuple(ids),
        right.cpu().numpy(),
        macs.double().cpu().numpy(),
        before.right.cpu().numpy(),
        before.macs.double().cpu().numpy(),
        time.perf_counter() - start,
    )


def _joined(rows: Sequence[AttackResults]) -> AttackResults:
    """The batches of one process, one after the other."""
    nothing: NDArray[Any] = np.empty(0)
    return AttackResults(
        tuple(i for row in rows for i in row.ids),
        np.concatenate([nothing.astype(bool), *(row.right for row in rows)]),
        np.concatenate([nothing, *(row.macs for row in rows)]),
        np.concatenate([nothing.astype(bool), *(row.clean_right for row in rows)]),
        np.concatenate([nothing, *(row.clean_macs for row in rows)]),
        sum(row.seconds for row in rows),
    )
