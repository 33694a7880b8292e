"""What a model says of one image, and what that cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from dynvit import cost
from dynvit.interface import Prediction, Rule
from dynvit.settings import whole
from dynvit.units import GIGA


@dataclass(frozen=True)
class Answer:
    """One image's class.

    ``label`` is the class's name, or its index where nobody named it; ``exit`` the index of the exit that answered,
    None for a model without exits.

    Shape: ``probabilities`` (classes,). Units: ``gmacs`` GMACs that this image took.
    """

    index: int
    label: str | int
    probability: float
    gmacs: float
    exit: int | None
    probabilities: Tensor = field(repr=False, compare=False)
    class_names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def top(self, count: int = 5) -> list[tuple[str | int, float]]:
        """The most probable classes, with their probabilities; the surest first.

        Raises: ``InputError`` for a count that is no whole number from 1.
        """
        count = whole(count, "how many classes")
        values, places = self.probabilities.topk(min(count, len(self.probabilities)))
        return [
            (label_of(int(place), self.class_names), float(value)) for value, place in zip(values, places, strict=True)
        ]

    def __repr__(self) -> str:
        left = "" if self.exit is None else f", exit {self.exit}"
        return f"Answer({self.label!r}, probability {self.probability:.3f}, {self.gmacs:.4g} GMACs{left})"


def answers(prediction: Prediction, class_names: tuple[str, ...], rule: Rule) -> Iterator[Answer]:
    """An answer for each image of a batch."""
    probabilities = prediction.logits.float().softmax(-1).cpu()
    macs = cost.macs(prediction.usage, rule).cpu()
    exits = None if prediction.usage.exit is None else prediction.usage.exit.cpu()
    for place, row in enumerate(probabilities):
        index = int(row.argmax())
        yield Answer(
            index=index,
            label=label_of(index, class_names),
            probability=float(row[index]),
            gmacs=float(macs[place]) / GIGA,
            exit=None if exits is None else int(exits[place]),
            probabilities=row.clone(),
            class_names=class_names,
        )


def label_of(index: int, class_names: tuple[str, ...]) -> str | int:
    """The class's name, or its index where nobody named it."""
    return class_names[index] if index < len(class_names) else index
