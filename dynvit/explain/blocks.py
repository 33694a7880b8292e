"""Which blocks, heads and tokens the images of a split were given, image by image and as a mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynvit.data import ImageSource
from dynvit.explain.images import explain_pixels
from dynvit.explain.trained import Trained
from dynvit.interface import BlockWork, OperatingPoint
from dynvit.progress import Progress


@dataclass(frozen=True)
class Policies:
    """What each block did for each image. ``places`` are the images' numbers in their source.

    Shape: ``places``, ``labels``, ``answers``, ``macs`` (n,); ``ran``, ``heads`` and ``tokens`` (n, blocks), the last
    two as kept parts of 1, 0 where the block was skipped. Units: ``macs`` per image.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    macs: NDArray[np.int64]
    ran: NDArray[np.bool_]
    heads: NDArray[np.float64]
    tokens: NDArray[np.float64]

    def skip_ratios(self) -> dict[str, NDArray[np.float64]]:
        """By granularity, the part that each block skips: of all images for depth, where it ran for the other two.

        A block that ran for nobody has no ratio of the latter: NaN. Shape: (blocks,) each.
        """
        count = self.ran.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = {"heads": self.heads.sum(0) / count, "tokens": self.tokens.sum(0) / count}
        return {"depth": 1 - self.ran.mean(0), **{name: 1 - share for name, share in kept.items()}}

    def cheap_and_expensive(self, each: int) -> tuple[list[int], list[int]]:
        """The images of the fewest and of the most MACs, in the split's order where they are alike; none twice."""
        order = np.argsort(self.macs, kind="stable")
        each = min(each, len(order) // 2) or 1
        return order[:each].tolist(), order[max(each, len(order) - each) :].tolist()


def policies(trained: Trained, source: ImageSource, point: OperatingPoint) -> Policies:
    """One pass over a split at one point."""
    batches, places = trained.pixels(source), {s.key: i for i, s in enumerate(source.manifest.samples)}
    kept, labels, rows = list[int](), list[NDArray[np.int64]](), list[NDArray[np.float64]]()
    answers, macs = list[int](), list[int]()
    with Progress("policies", batches.images) as progress:
        for batch in batches:
            for explanation in explain_pixels(trained, batch.images, point):
                answers.append(explanation.answer)
                macs.append(explanation.macs)
                rows.append(_shares(explanation.blocks))  # not the grids, which of a whole split are gigabytes
            labels.append(batch.labels.numpy())
            kept.extend(places[key] for key in batch.ids)
            progress.advance(len(batch.ids))
    ran, heads, tokens = np.stack(rows, 1)
    return Policies(
        np.asarray(kept), np.concatenate(labels), np.asarray(answers), np.asarray(macs), ran > 0, heads, tokens
    )


def _shares(blocks: Sequence[BlockWork]) -> NDArray[np.float64]:
    """Whether each block ran, and the parts of its heads and tokens that were kept. Shape: (3, blocks)."""
    columns = [(block.ran, block.heads / block.all_heads, float(block.kept.float().mean())) for block in blocks]
    return np.asarray(columns, dtype=np.float64).T
