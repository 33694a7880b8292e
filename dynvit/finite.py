"""Numbers that must be finite: what a model says of images, and what it says that they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dynvit.errors import InputError
from dynvit.point import OperatingPoint


class NotFiniteError(InputError):
    """Logits or MACs that are no numbers: which model, at which point, and of which image first."""


def check_logits(logits: Tensor, who: str, point: OperatingPoint | None = None, ids: Sequence[str] = ()) -> None:
    """Refuse what would be scored as wrong answers, and is none.

    Args:
        logits: (B, classes).
        who: the model, for people.
        point: where it was asked; None where that means nothing.
        ids: of the samples; without them the first one is named by its place in the batch.

    Raises: ``NotFiniteError``.
    """
    _check(logits, "logits", who, point, ids)


def check_macs(macs: Tensor, who: str, point: OperatingPoint | None = None, ids: Sequence[str] = ()) -> None:
    """The same for a count of MACs, which is not negative either. Shape: (B,). Raises: ``NotFiniteError``."""
    _check(torch.where(macs < 0, torch.nan, macs.double()), "MACs", who, point, ids)


@contextmanager
def naming(who: str) -> Iterator[None]:
    """What is not finite in the block is said to be of ``who``."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(f"{who}: {error}") from error


def _check(values: Tensor, what: str, who: str, point: OperatingPoint | None, ids: Sequence[str]) -> None:
    bad = ~torch.isfinite(values)
    if not bool(bad.any()):
        return
    rows = bad.flatten(1).any(1) if bad.ndim > 1 else bad
    first, count = int(rows.nonzero()[0, 0]), int(rows.sum())
    sample = f"sample {ids[first]!r}" if first < len(ids) else f"image {first + 1} of the batch"
    at = ", ".join(f"{name}={value}" for name, value in (point or {}).items())
    raise NotFiniteError(
        f"the {what} of {who}{f' at {at}' if at else ''} are not finite numbers: {sample} is the first of {count} in a "
        f"batch of {len(rows)}; its weights or its code are at fault, and nothing is recorded of this point"
    )
