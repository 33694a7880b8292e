"""At which exit the images of a split leave: at one point image by image, over budgets as shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dynvit import cost
from dynvit.data import ImageSource
from dynvit.data.pixels import to_pixels
from dynvit.errors import InputError
from dynvit.explain.trained import Trained
from dynvit.finite import check_logits
from dynvit.interface import OperatingPoint
from dynvit.progress import Progress


@dataclass(frozen=True)
class Departures:
    """Every image's exit and answer at several points.

    ``places`` are the images' numbers in their source. Shape: ``places`` and ``labels`` (n,), all others (points, n).
    Units: ``confidence`` the largest softmax probability, ``macs`` per image.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    exits: NDArray[np.int64]
    answers: NDArray[np.int64]
    confidence: NDArray[np.float64]
    macs: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Exits that some image reached at some point."""
        return int(self.exits.max()) + 1

    def shares(self) -> NDArray[np.float64]:
        """The part of the images that each exit answers. Shape: (points, exits)."""
        return np.stack([np.bincount(row, minlength=self.count) / len(row) for row in self.exits])

    def right(self) -> NDArray[np.bool_]:
        """Whether the answer is the label. Shape: (points, n)."""
        return self.answers == self.labels


@dataclass(frozen=True)
class EasyHard:
    """One class's images (columns of ``Departures``): the surest of the first exit, the least sure of the last."""

    label: int
    easy: tuple[int, ...]
    hard: tuple[int, ...]


def departures(trained: Trained, source: ImageSource, points: Sequence[OperatingPoint]) -> Departures:
    """One pass over a split, all points from it.

    Raises: ``InputError`` for a method that has no exits.
    """
    batches, places = trained.pixels(source), {s.key: i for i, s in enumerate(source.manifest.samples)}
    kept: list[int] = []
    labels, rows = [], []
    with torch.inference_mode(), Progress("exits", batches.images) as progress:
        for batch in batches:
            found = []
            answered = trained.opened.model.sweep(to_pixels(batch.images.to(trained.device)), points)
            for point, prediction in zip(points, answered, strict=True):
                if prediction.usage.exit is None:
                    raise InputError(f"method {trained.opened.name!r} has no exits: give it images, not --dataset")
                check_logits(prediction.logits, f"model {trained.opened.label!r}", point, batch.ids)
                sure, answers = prediction.logits.softmax(-1).max(-1)
                numbers = (prediction.usage.exit, answers, sure, cost.macs(prediction.usage))
                found.append(torch.stack([number.double().cpu() for number in numbers]))
            rows.append(torch.stack(found, 1).numpy())
            labels.append(batch.labels.numpy())
            kept.extend(places[key] for key in batch.ids)
            progress.advance(len(batch.ids))
    exits, answers, sure, macs = np.concatenate(rows, 2)
    return Departures(
        np.asarray(kept),
        np.concatenate(labels),
        exits.astype(np.int64),
        answers.astype(np.int64),
        sure,
        macs,
    )


def easy_and_hard(found: Departures, point: int, each: int) -> list[EasyHard]:
    """At most ``each`` easy and ``each`` hard images of every class, at the point of that number.

    Where no image ever went beyond the first exit, none is hard.
    """
    exits, sure = found.exits[point], found.confidence[point]
    rows = []
    for label in np.unique(found.labels):
        mine = np.flatnonzero(found.labels == label)
        ordered = mine[np.argsort(-sure[mine], kind="stable")]
        first = ordered[exits[ordered] == 0][:each]
        last = ordered[exits[ordered] == max(found.count - 1, 1)][::-1][:each]
        rows.append(EasyHard(int(label), tuple(first.tolist()), tuple(last.tolist())))
    return rows
