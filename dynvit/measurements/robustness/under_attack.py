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
from dynvit.attacks import Answer, Attack, AttackSpec, frozen_parameters
from dynvit.attacks.criterion import margin
from dynvit.attacks.restarts import attempt
from dynvit.data.pixels import PixelBatch, to_pixels
from dynvit.finite import check_logits
from dynvit.interface import DynamicModel, OperatingPoint, Rule
from dynvit.measurements.robustness.variants import answer_of, criterion_of
from dynvit.measurements.samples import each_once


@dataclass(frozen=True)
class AttackResults:
    """One row an image, in the order of ``ids``.

    Shape: all (n,). Units: ``macs`` and ``clean_macs`` per image; ``seconds`` of the whole attack.
    """

    ids: tuple[str, ...]
    right: NDArray[np.bool_]
    macs: NDArray[np.float64]
    clean_right: NDArray[np.bool_]
    clean_macs: NDArray[np.float64]
    seconds: float

    def merged(self, others: Iterable[AttackResults]) -> AttackResults:
        """These and the others' rows, each id once, sorted by id: the same for any number of processes."""
        parts = [self, *others]
        ids, rows = each_once(name for part in parts for name in part.ids)

        def joined(name: str) -> NDArray[Any]:
            found: NDArray[Any] = np.concatenate([getattr(part, name) for part in parts])[rows]
            return found

        return AttackResults(
            ids,
            joined("right"),
            joined("macs"),
            joined("clean_right"),
            joined("clean_macs"),
            max(part.seconds for part in parts),
        )


@dataclass(frozen=True)
class _Evaluated:
    """What ``predict`` says of images. Shape: (B,). Units: ``macs`` per image."""

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
    """Attack the model at the point, and evaluate the images that are found by ``predict``.

    A misclassified clean image is misclassified under attack, at its clean cost; the others are attacked. A slowdown
    attacks every image, and keeps the more expensive of the clean image and the one that it found.

    Args:
        model, point: what is attacked.
        batches: images with labels and sample ids.
        spec: the attack, its threat, criterion and variant.
        device: where the model is.
        rule: how MACs are counted.
        passed: called with the number of images of each pass through the model.

    Returns: one row an image.
    """
    rows = [
        _attack_batch(model, point, batch.ids, pixels, labels, spec, rule, passed)
        for batch, pixels, labels in _batches(model, batches, device)
    ]
    return _concatenated(rows)


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
    """Attack ``source``, and evaluate the targets on the images that are found: one attack for all targets.

    Args:
        source, source_point: what is attacked.
        targets: what is evaluated.
        batches, spec, device, rule, passed: as in ``attack``.

    Returns: the results of each target.
    """
    rows: list[list[AttackResults]] = [[] for _ in targets]
    for batch, clean, labels in _batches(source, batches, device):
        with frozen_parameters(source):
            answer = _counted(lambda images, _: source(images, source_point), passed)
            # Without early stopping: an image that just fools the source transfers badly.
            found = _with_early_stop(spec.attack, False)(answer, clean, labels, batch.ids, spec.threat)
        for index, (model, point) in enumerate(targets):
            start = time.perf_counter()
            model.eval()
            before = _evaluate(model, point, clean, labels, rule, batch.ids)
            after = _evaluate(model, point, found, labels, rule, batch.ids)
            rows[index].append(_results(batch.ids, before, after, before.right & after.right, after.macs, start))
    return [_concatenated(those) for those in rows]


def untouched(
    model: DynamicModel,
    point: OperatingPoint,
    batches: Iterable[PixelBatch],
    *,
    device: torch.device | str = "cpu",
    rule: Rule = "matmul+conv",
    passed: Callable[[int], None] = lambda images: None,
) -> AttackResults:
    """The clean images: the result of a slowdown on a model whose images all cost the same."""
    rows = []
    for batch, clean, labels in _batches(model, batches, device):
        start = time.perf_counter()
        before = _evaluate(model, point, clean, labels, rule, batch.ids)
        passed(len(clean))
        rows.append(_results(batch.ids, before, before, before.right, before.macs, start))
    return _concatenated(rows)


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
    before = _evaluate(model, point, clean, labels, rule, ids)
    slowdown = spec.criterion != "misclassify"
    rows = torch.arange(len(clean), device=clean.device) if slowdown else before.right.nonzero()[:, 0]
    images = clean.clone()
    if len(rows):
        images[rows] = _search(
            model,
            point,
            clean[rows],
            before.answer[rows] if slowdown else labels[rows],
            [ids[row] for row in rows.tolist()],
            spec,
            passed,
        )
    after = _evaluate(model, point, images, labels, rule, ids)
    if not slowdown:
        return _results(ids, before, after, before.right & after.right, after.macs, start)
    slower = after.macs > before.macs
    if spec.criterion == "slowdown-keep-label":
        slower &= after.answer == before.answer
    right = torch.where(slower, after.right, before.right)
    return _results(ids, before, after, right, torch.where(slower, after.macs, before.macs), start)


def _search(
    model: DynamicModel,
    point: OperatingPoint,
    clean: Tensor,
    labels: Tensor,
    ids: Sequence[str],
    spec: AttackSpec,
    passed: Callable[[int], None],
) -> Tensor:
    """Images within the threat.

    An image is attacked until the form that is attacked misclassifies it. Where ``predict`` classifies it correctly all
    the same (it rounds differently, and decides what frozen gates did not), the attack is run again to its end.
    """
    given, criterion = spec.attack, criterion_of(spec.criterion, spec.variant)
    black_box = given.black_box

    def run(attack: Attack, rows: Tensor) -> Tensor:
        answer = answer_of(model, point, spec.variant, spec.criterion, clean[rows], black_box=black_box)
        chosen = [ids[row] for row in rows.tolist()]
        counted = _counted(answer, passed)
        return attempt(attack, spec.restart, counted, clean[rows], labels[rows], chosen, spec.threat, criterion)

    every = torch.arange(len(clean), device=clean.device)
    stopping = _with_early_stop(given, True) if spec.criterion == "misclassify" else given
    with frozen_parameters(model):
        found = run(stopping, every)
        to_end = _with_early_stop(given, False)
        if stopping == to_end:
            return found
        with torch.no_grad():
            attacked_margin = margin(
                answer_of(model, point, spec.variant, spec.criterion, clean, black_box=black_box)(found, every), labels
            )
            correct = margin(model.predict(found, point), labels) <= 0
        again = ((attacked_margin > 0) & correct).nonzero()[:, 0]
        if len(again):
            found[again] = run(to_end, again)
    return found


def _with_early_stop(attack: Attack, early: bool) -> Attack:
    """The attack with early stopping of each image on or off, where it has that setting."""
    if not hasattr(attack, "early_stop") or getattr(attack, "keep", "best") != "best":
        return attack
    settings: Any = attack
    chosen: Attack = replace(settings, early_stop=early)
    return chosen


def _counted(answer: Answer, passed: Callable[[int], None]) -> Answer:
    def counted(images: Tensor, rows: Tensor) -> Any:
        passed(len(images))
        found = answer(images, rows)
        # An attack that is led by what is no number finds nothing, and the model would look robust.
        check_logits(found.logits.detach(), "the form that is attacked")
        return found

    return counted


def _batches(
    model: DynamicModel, batches: Iterable[PixelBatch], device: torch.device | str
) -> Iterable[tuple[PixelBatch, Tensor, Tensor]]:
    model.eval()
    for batch in batches:
        yield batch, to_pixels(batch.images.to(device)), batch.labels.to(device)


@torch.no_grad()
def _evaluate(
    model: DynamicModel, point: OperatingPoint, images: Tensor, labels: Tensor, rule: Rule, ids: Sequence[str]
) -> _Evaluated:
    found = model.predict(images, point)
    check_logits(found.logits, "the model under attack", point, ids)
    answer = found.logits.argmax(1)  # as for accuracy, the first of equal logits
    return _Evaluated(answer, answer == labels, cost.macs(found.usage, rule).to(images.device))


def _results(
    ids: Sequence[str], before: _Evaluated, after: _Evaluated, right: Tensor, macs: Tensor, start: float
) -> AttackResults:
    return AttackResults(
        tuple(ids),
        right.cpu().numpy(),
        macs.double().cpu().numpy(),
        before.right.cpu().numpy(),
        before.macs.double().cpu().numpy(),
        time.perf_counter() - start,
    )


def _concatenated(rows: Sequence[AttackResults]) -> AttackResults:
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
