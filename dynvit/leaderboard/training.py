"""How the weights of a record came about: what a front may hold together."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from dynvit.leaderboard.frozen import Frozen

Division = Literal["off-the-shelf", "fine-tuned", "free"]
"""Off the shelf: nothing was trained on top of the backbone. Fine-tuned: all by one shared recipe. Free: anything."""

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TrainingRecord(Frozen):
    """The training on top of the backbone; null where there was none, or where it is not known."""

    division: Division = Field(description="off-the-shelf, fine-tuned or free")
    recipe: str | None = Field(default=None, description="name of the recipe")
    recipe_sha256: Hash | None = Field(
        default=None, description="SHA-256 of the recipe; fine-tuned: of what all models of the division share"
    )
    target: float | None = Field(default=None, description="fraction of dense MACs that it was trained for")
    epochs: float | None = Field(default=None, description="passes over the training images, with labels")
    images_seen: int | None = Field(default=None, description="images of all steps whose loss looks at labels")
    images_seen_unlabelled: int | None = Field(default=None, description="images of the other steps")
    training_gmacs: float | None = Field(
        default=None, description="GMACs of all steps: forward, backward, teachers; counted on each stage's first step"
    )
    start_sha256: Hash | None = Field(default=None, description="SHA-256 of the weights that it began from")
    seed: int | None = Field(default=None, description="seed of new weights, order and augmentation")
    data_seed: int | None = Field(default=None, description="seed of the held-out images")
    wall_s: float | None = Field(default=None, description="seconds of its steps")


_OF_THE_RUN = {"seed", "wall_s", "training_gmacs"}  # beside the seed, what was measured of the training itself


def but_seed(training: TrainingRecord | None) -> dict[str, Any] | None:
    """What trainings that differ in nothing but their seed have in common."""
    return None if training is None else training.model_dump(mode="json", exclude=_OF_THE_RUN)


class Trained(Protocol):
    """What a record or a checkpoint says of a training, as far as fronts ask."""

    @property
    def division(self) -> Division | None:
        """Its division; None where that was not written down."""

    @property
    def recipe_sha256(self) -> str | None:
        """SHA-256 of the recipe; fine-tuned: of what all share."""

    @property
    def start_sha256(self) -> str | None:
        """SHA-256 of the weights that it began from."""


def shared_by(training: Trained | None) -> tuple[str | None, str | None] | None:
    """The recipe and the start that a model shares with all of its front; None outside the fine-tuned division.

    A front of the fine-tuned division holds nothing else, and one training.
    """
    if training is None or training.division != "fine-tuned":
        return None
    return training.recipe_sha256, training.start_sha256
