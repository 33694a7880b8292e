"""Whether the models of a bench may share a front: asked before anything of it is trained or measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dynvit.errors import InputError
from dynvit.leaderboard.training import shared_by
from dynvit.session import checkpoint_facts


def check_one_front(checkpoints: Iterable[tuple[str, str | None]], *, trains: bool) -> None:
    """The fine-tuned division shares its front with no other, and one recipe and one start within it.

    Args:
        checkpoints: the models that this bench does not train: a label, and a folder of ``dynvit train``, a published
            checkpoint, or None for the backbone's weights.
        trains: whether it trains others in the division.

    Raises: ``InputError`` with two models that no front may hold together.
    """
    seen: dict[tuple[str | None, str | None] | None, str] = {}
    for label, checkpoint in checkpoints:
        seen.setdefault(_shared(checkpoint), label)
    outside = seen.pop(None, None)
    inside = "the models that are trained here" if trains else next(iter(seen.values()), None)
    if outside is not None and inside is not None:
        raise InputError(
            f"one front cannot hold {inside}, of the fine-tuned division, and {outside}, of another: train "
            f"{outside} likewise (--division fine-tuned), or bench them apart"
        )
    if len(seen) > 1:
        one, other, *_ = seen.values()
        raise InputError(
            f"one front cannot hold {one} and {other}, of the fine-tuned division both: they were trained by other "
            "recipes, or began from other weights; bench them apart"
        )


def _shared(checkpoint: str | None) -> tuple[str | None, str | None] | None:
    """What a model shares with all of its front; what authors published, a file or a name, is of no division."""
    if checkpoint is None or not Path(checkpoint).is_dir():
        return None
    return shared_by(checkpoint_facts(checkpoint).training)
