"""What attacks leave of a record: the worst of them image by image, and the worst slowdown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import Field

from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import Bools, unpack
from dynvit.leaderboard.record import Amount, Frozen, Name, Percent, Record, RobustnessRecord


class RobustEntry(Frozen):
    """Accuracy within one ball: an image counts if every attack of this and of smaller balls leaves it right."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    n: int = Field(ge=1, description="images attacked")
    clean_pct: Percent = Field(description="top-1 accuracy of these images, clean, percent")
    accuracy_pct: Percent = Field(description="top-1 accuracy under the worst of all attacks, image by image, percent")
    ci95_low_pct: Percent = Field(description="lower end of its 95 % interval, percent")
    ci95_high_pct: Percent = Field(description="upper end of its 95 % interval, percent")
    strongest: Name = Field(description="the single attack and variant at this radius that left least")
    strongest_pct: Percent = Field(description="what it alone left, percent")
    attacks: int = Field(ge=1, description="attacks and variants that count")


class SlowdownEntry(Frozen):
    """Compute within one ball: the attack that raised it most."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    keep_label: bool = Field(description="whether the answer had to stay what it was")
    gmacs_mean: Amount = Field(description="mean GMACs an image under attack")
    clean_gmacs_mean: Amount = Field(description="mean GMACs an image of the same images, clean")
    saving_taken_back_pct: float | None = Field(
        description="share of the clean saving against dense that is gone, percent; null: nothing was saved"
    )
    attack: Name = Field(description="the attack")


def said(attack: RobustnessRecord) -> str:
    """An attack with its variant, in a word or two."""
    variant = "" if attack.variant in (None, "adaptive", "static") else f" ({attack.variant})"
    return attack.attack + variant


def robust_entries(record: Record) -> tuple[RobustEntry, ...]:
    """Accuracy within each ball that was tried, by norm and rising radius.

    Balls that hold every image only check for masking and are left out. Where several sets of images were attacked, the
    largest stands, the last of equals.
    """
    attacks = comparable(record)
    found = []
    for norm, those in _by_norm(attacks).items():
        alive: Bools | None = None
        count = 0
        for eps in sorted({attack.eps for attack in those if attack.eps is not None}):
            if unbounded(norm, eps, record.preprocessing.image_size):
                continue
            here = [attack for attack in those if attack.eps == eps]
            for attack in here:
                assert attack.right is not None
                right = unpack(attack.right, attack.n)
                alive = right if alive is None else alive & right
            assert alive is not None
            count += len(here)
            strongest = min(here, key=lambda attack: attack.accuracy_pct)
            low, high = wilson(int(alive.sum()), len(alive))
            found.append(
                RobustEntry(
                    norm=norm,
                    eps=eps,
                    n=strongest.n,
                    clean_pct=strongest.clean_accuracy_pct or 0.0,
                    accuracy_pct=100 * int(alive.sum()) / len(alive),
                    ci95_low_pct=low,
                    ci95_high_pct=high,
                    strongest=said(strongest),
                    strongest_pct=strongest.accuracy_pct,
                    attacks=count,
                )
            )
    return tuple(found)


def slowdown_entries(record: Record) -> tuple[SlowdownEntry, ...]:
    """The worst slowdown within each ball that was tried, and smaller ones, with and without the label kept."""
    found = []
    for keep_label, goal in ((False, ("slowdown", "slowdown-keep-label")), (True, ("slowdown-keep-label",))):
        for norm, those in _by_norm(_largest(a for a in attacks_on(record) if a.goal in goal)).items():
            for eps in sorted({attack.eps for attack in those if attack.eps is not None}):
                within = [attack for attack in those if attack.eps is not None and attack.eps <= eps]
                worst = max(within, key=lambda attack: attack.gmacs_mean_under_attack)
                found.append(
                    SlowdownEntry(
                        norm=norm,
                        eps=eps,
                        keep_label=keep_label,
                        gmacs_mean=worst.gmacs_mean_under_attack,
                        clean_gmacs_mean=worst.clean_gmacs_mean or 0.0,
                        saving_taken_back_pct=worst.saving_taken_back_pct,
                        attack=said(worst),
                    )
                )
    return tuple(found)


def attacks_on(record: Record) -> list[RobustnessRecord]:
    """What attackers did to a record: a corruption has no norm."""
    return [measured for measured in record.robustness if measured.norm is not None]


def comparable(record: Record) -> list[RobustnessRecord]:
    """The attacks on accuracy whose answers are known image by image, all on the same images."""
    return _largest(a for a in attacks_on(record) if a.goal == "misclassify" and a.right is not None)


def saving_lost_pct(gmacs: float, clean: float, dense: float) -> float | None:
    """How much of the saving is gone under attack, in percent of it; above 100 where it costs more than dense.

    >>> saving_lost_pct(gmacs=0.9, clean=0.5, dense=1.0)
    80.0
    """
    return 100 * (gmacs - clean) / (dense - clean) if dense > clean and not math.isclose(dense, clean) else None


def unbounded(norm: str, eps: float, image_size: Sequence[int]) -> bool:
    """Whether the ball around any image holds the grey one."""
    return eps >= (0.5 if norm == "linf" else 0.5 * math.sqrt(3 * math.prod(image_size)))


def _largest(attacks: Iterable[RobustnessRecord]) -> list[RobustnessRecord]:
    by_images: dict[str | None, list[RobustnessRecord]] = defaultdict(list)
    for attack in attacks:
        by_images[attack.images].append(attack)
    return max(reversed(by_images.values()), key=lambda those: those[0].n, default=[])


def _by_norm(attacks: Iterable[RobustnessRecord]) -> dict[str, list[RobustnessRecord]]:
    groups: dict[str, list[RobustnessRecord]] = defaultdict(list)
    for attack in attacks:
        groups[attack.norm or ""].append(attack)
    return dict(sorted(groups.items()))
