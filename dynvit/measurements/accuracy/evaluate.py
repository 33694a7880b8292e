"""Accuracy and compute of one model at several operating points, sample by sample."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynvit import cost
from dynvit.contract import check_prediction
from dynvit.data.pixels import PixelBatch, to_pixels
from dynvit.finite import check_logits, check_macs
from dynvit.halving import Pieces
from dynvit.interface import DynamicModel, OperatingPoint, Prediction, Rule
from dynvit.measurements.samples import each_once
from dynvit.plugin_faults import plugin_faults


@dataclass(frozen=True)
class SampleResults:
    """One point's answers, one row a sample, in the order of ``ids``.

    ``piece`` is how many images a batch was cut to where memory ran out; None: nowhere.

    Shape: all (n,). Units: ``macs`` per image; ``rank`` is the true label's place in the answer, 0 for the first.
    """

    ids: tuple[str, ...]
    rank: NDArray[np.int64]
    macs: NDArray[np.float64]
    seconds: float
    piece: int | None = None

    def merged(self, others: Iterable[SampleResults]) -> SampleResults:
        """These and the others' rows, each id once, sorted by id: the same for any number of processes."""
        parts = [self, *others]
        ids, rows = each_once(name for part in parts for name in part.ids)
        return SampleResults(
            ids,
            np.concatenate([part.rank for part in parts])[rows],
            np.concatenate([part.macs for part in parts])[rows],
            max(part.seconds for part in parts),
            min((part.piece for part in parts if part.piece), default=None),
        )


@plugin_faults()
def evaluate(
    model: DynamicModel,
    points: Sequence[OperatingPoint],
    batches: Iterable[PixelBatch],
    *,
    device: torch.device | str = "cpu",
    rule: Rule = "matmul+conv",
    after_batch: Callable[[int], None] = lambda images: None,
    who: str = "the model",
) -> list[SampleResults]:
    """Run ``predict`` at each point on each batch, in one pass over the data.

    Args:
        model, points: what is evaluated.
        batches: images with labels and sample ids.
        device: where the model is.
        rule: how MACs are counted.
        after_batch: called with the number of images of each batch.
        who: names the model in errors.

    Where memory runs out, a batch is halved, and so are those after it: an image's result does not depend on its batch.

    Raises: ``InputError`` for logits or MACs that are not finite, naming the first sample.
    Units: ``SampleResults.seconds`` is the time in the model, without loading. A point of a method that shares
    work between points (``sweep``) is charged an equal part of it.
    """
    model.eval()
    ids: list[str] = []
    # A small tensor a batch, kept among the large ones that come and go, would leave holes that memory never fills.
    ranks, macs = [array("q") for _ in points], [array("d") for _ in points]
    seconds, pieces = 0.0, Pieces(torch.device(device))
    asked = _Asked(model, points, rule, who)
    with torch.inference_mode():
        for batch in batches:
            images = to_pixels(batch.images.to(device))
            labels = batch.labels.to(device)
            start = time.perf_counter()
            answers = partial(asked.answers, images, labels, batch.ids)
            for answered in pieces.of(len(images), answers):
                for index, (spent, rank) in enumerate(answered):
                    macs[index].extend(spent)
                    ranks[index].extend(rank)
            seconds += time.perf_counter() - start
            ids.extend(batch.ids)
            after_batch(len(batch.ids))
    rows = [(np.array(rank, np.int64), np.array(spent, np.float64)) for rank, spent in zip(ranks, macs, strict=True)]
    return [SampleResults(tuple(ids), *found, seconds / len(points), pieces.size) for found in rows]


@dataclass(frozen=True)
class _Asked:
    model: DynamicModel
    points: Sequence[OperatingPoint]
    rule: Rule
    who: str

    def answers(
        self, images: Tensor, labels: Tensor, ids: Sequence[str], part: slice
    ) -> list[tuple[list[float], list[int]]]:
        """MACs and ranks of a part of the images, at each point."""
        found = zip(self.points, self.model.sweep(images[part], self.points), strict=True)
        return [
            (_spent(said, point, ids[part], self.rule, self.who).tolist(), _rank(said.logits, labels[part]).tolist())
            for point, said in found
        ]


def _spent(prediction: Prediction, point: OperatingPoint, ids: Sequence[str], rule: Rule, who: str) -> Tensor:
    """The MACs of each image. Raises: as ``evaluate``, for a prediction that is none. Shape: (B,)."""
    check_prediction(prediction, len(ids), who)
    check_logits(prediction.logits, who, point, ids)
    spent = cost.macs(prediction.usage, rule).cpu()
    check_macs(spent, who, point, ids)
    return spent


def _rank(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes score above the true one, or as high and before it.

    Shape: logits (B, classes), labels (B,) → (B,).
    """
    true = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    above = (logits > true) | ((logits == true) & (classes < labels[:, None]))
    return above.sum(1)
