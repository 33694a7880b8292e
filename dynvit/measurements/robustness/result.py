"""What is written of one attack on one record."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from dynvit.leaderboard.per_sample import unpack
from dynvit.leaderboard.record import Amount, Frozen, JsonObject, Name, Percent


class RobustnessResult(Frozen):
    """Accuracy and compute under one attack."""

    threat: Name = Field(description="threat model: white-box, black-box, transfer")
    norm: Name = Field(description="norm of the bound: linf, l2")
    eps: Amount = Field(description="radius of the bound, pixels in [0,1]")
    attack: Name = Field(description="attack")
    settings: JsonObject = Field(description="the attack's settings, by name")
    adaptive: bool = Field(description="whether the attack knew of the gates and went through them")
    n: int = Field(ge=1, description="images attacked")
    accuracy_pct: Percent = Field(description="top-1 accuracy under attack, percent")
    gmacs_mean: Amount = Field(description="mean GMACs an image under attack")
    criterion: Name | None = Field(
        default=None, description="what the attack maximises: misclassify, slowdown, slowdown-keep-label"
    )
    variant: Name | None = Field(
        default=None,
        description="where the gradient comes from: adaptive, soft, frozen, transfer; static: nothing to maximise",
    )
    restart: int | None = Field(
        default=None, ge=1, description="which restart, from other random starts; null: the attack's first attempt"
    )
    accuracy_ci95_low_pct: Percent | None = Field(default=None, description="lower end of its 95 % interval, percent")
    accuracy_ci95_high_pct: Percent | None = Field(default=None, description="upper end of its 95 % interval, percent")
    clean_accuracy_pct: Percent | None = Field(default=None, description="top-1 accuracy of the same images, clean")
    clean_gmacs_mean: Amount | None = Field(default=None, description="mean GMACs an image of the same images, clean")
    saving_lost_pct: float | None = Field(
        default=None,
        description="share of the clean images' saving against dense that is lost, percent; null: nothing was saved",
    )
    images: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="which images: a hash of their sorted sample ids; results are compared within one"
    )
    right: str | None = Field(
        default=None,
        description="which images are answered right under attack: a bit each in the order of sorted ids, base64",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.right is not None:
            unpack(self.right, self.n)
        return self


RENAMED = {
    "goal": "criterion",
    "gmacs_mean_under_attack": "gmacs_mean",
    "saving_taken_back_pct": "saving_lost_pct",
}
"""Fields of version 1, and what they are called now."""


def said(attack: RobustnessResult) -> str:
    """An attack with its variant or restart, in a word or two."""
    variant = "" if attack.variant in (None, "adaptive", "static") else f" ({attack.variant})"
    return attack.attack + variant + (f" (restart {attack.restart})" if attack.restart else "")


def comparable(results: Iterable[RobustnessResult], image_size: Sequence[int]) -> list[RobustnessResult]:
    """The attacks on accuracy whose results are known image by image, all on the same images."""
    return on_most_attacked(
        (a for a in results if a.criterion == "misclassify" and a.right is not None),
        lambda attack: not unbounded(attack.norm, attack.eps, image_size),
    )


def on_most_attacked(
    attacks: Iterable[RobustnessResult], counts: Callable[[RobustnessResult], bool] = lambda attack: True
) -> list[RobustnessResult]:
    """Those on the set of images that most attempts were made on, of equals the larger, of these the last.

    Results are compared within one set alone, and many images that were hardly attacked say less than few that were.
    ``counts``: whether an attempt does; what holds every image only checks for masking.
    """
    by_images: dict[tuple[str | None, int], list[RobustnessResult]] = defaultdict(list)
    for attack in attacks:
        by_images[attack.images, attack.n].append(attack)
    return max(reversed(by_images.values()), key=lambda those: (sum(map(counts, those)), those[0].n), default=[])


def within(
    results: Iterable[RobustnessResult], norm: str, eps: float, image_size: Sequence[int]
) -> list[RobustnessResult]:
    """Of the comparable attacks those within a ball."""
    return [attack for attack in comparable(results, image_size) if attack.norm == norm and attack.eps <= eps]


def unbounded(norm: str, eps: float, image_size: Sequence[int]) -> bool:
    """Whether the ball around any image holds the grey one."""
    return eps >= (0.5 if norm == "linf" else 0.5 * math.sqrt(3 * math.prod(image_size)))
