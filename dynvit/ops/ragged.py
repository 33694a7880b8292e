"""Ragged rows: images that keep different counts of tokens, as one matrix in which nothing is padded.

Linear layers and norms run on the rows of all images at once. Attention needs images apart: there those of equal counts
run together, so that no more is computed in a batch than image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Which rows belong to which image: the first ``counts[0]`` rows to image 0, and so on.

    Shape: ``present`` (B, most), bool, True at the places that an image fills; ``most`` is the longest image's count.

    >>> ragged = Ragged.of(torch.tensor([[True, False, True], [False, True, False]]))
    >>> rows = torch.tensor([[1.0], [2.0], [3.0]])
    >>> ragged.counts.tolist(), ragged.spread(rows).flatten(1).tolist()
    ([2, 1], [[1.0, 2.0], [3.0, 0.0]])
    >>> torch.equal(ragged.rows(ragged.spread(rows)), rows)
    True
    """

    counts: Tensor
    present: Tensor
    even: bool

    @classmethod
    def of(cls, kept: Tensor) -> Ragged:
        """The layout of what a mask keeps. Waits for the device once, for shapes follow from it.

        Shape: kept (B, n), bool; each image keeps one token at least.
        """
        counts = kept.sum(1)
        least, most = torch.stack([counts.min(), counts.max()]).tolist()
        return cls(counts, torch.arange(most, device=kept.device) < counts.unsqueeze(1), least == most)

    @classmethod
    def whole(cls, images: int, tokens: int, device: torch.device) -> Ragged:
        """``images`` images of ``tokens`` tokens each."""
        present = torch.ones(images, tokens, dtype=torch.bool, device=device)
        return cls(torch.full((images,), tokens, device=device), present, True)

    @cached_property
    def _filled(self) -> Tensor:
        return self.present.flatten().nonzero().flatten()

    def spread(self, rows: Tensor) -> Tensor:
        """Each image's rows apart, zeros where it has none. Shape: (rows, C) → (B, most, C)."""
        batch, most = self.present.shape
        if self.even:
            return rows.view(batch, most, -1)
        return rows.new_zeros(batch * most, rows.shape[1]).index_copy(0, self._filled, rows).view(batch, most, -1)

    def rows(self, spread: Tensor) -> Tensor:
        """The inverse of ``spread``. Shape: (B, most, C) → (rows, C)."""
        flat = spread.reshape(-1, spread.shape[-1])
        return flat if self.even else flat.index_select(0, self._filled)

    def only(self, kept: Tensor) -> tuple[Tensor, Ragged]:
        """The rows that a mask keeps, and whose they are then. Waits for the device once.

        Shape: kept (B, most), bool → positions (rows'), int64.

        >>> ragged = Ragged.of(torch.tensor([[True, True], [True, False]]))
        >>> ragged.only(torch.tensor([[False, True], [True, False]]))[0].tolist()
        [1, 2]
        """
        flat = kept.flatten()
        chosen = (flat if self.even else flat.index_select(0, self._filled)).nonzero().flatten()
        return chosen, Ragged.of(kept)

    def first_rows(self, rows: Tensor) -> Tensor:
        """The first row of each image, its class token. Shape: (rows, C) → (B, C)."""
        return rows[self.counts.cumsum(0) - self.counts]

    def of_equal_counts(self) -> Iterator[tuple[int, Tensor]]:
        """How many images have as many rows, and where these are, image by image. Waits for the device once."""
        starts = self.counts.cumsum(0) - self.counts
        for count in self.counts.unique().tolist():
            inside = torch.arange(count, device=self.counts.device)
            places = starts[self.counts == count].unsqueeze(1) + inside
            yield len(places), places.flatten()


def by_equal_counts(rows: Tensor, ragged: Ragged, run: Callable[[Tensor, Ragged], Tensor]) -> Tensor:
    """``run`` on images of equal counts together, a row for each row. Shape: (rows, C) → (rows, C').

    >>> ragged = Ragged.of(torch.tensor([[True, True], [True, False]]))
    >>> by_equal_counts(torch.tensor([[1.0], [2.0], [3.0]]), ragged, lambda rows, own: rows * len(own.counts)).tolist()
    [[1.0], [2.0], [3.0]]
    """
    if ragged.even:
        return run(rows, ragged)
    found, order = list[Tensor](), list[Tensor]()
    for images, places in ragged.of_equal_counts():
        own = Ragged.whole(images, len(places) // images, places.device)
        found.append(run(rows.index_select(0, places), own))
        order.append(places)
    return torch.cat(found).index_select(0, torch.cat(order).argsort())
