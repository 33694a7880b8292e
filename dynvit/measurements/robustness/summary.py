"""What attacks leave of a record: the worst of them image by image, and the worst slowdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from dynvit.leaderboard.board import Entry, Leaderboard, Objective
from dynvit.leaderboard.front import hypervolume, non_dominated
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import right_in_all, unpack
from dynvit.leaderboard.record import Amount, Frozen, Name, Percent, Record, is_static
from dynvit.measurements.robustness.comparing import most_compared, terms_of
from dynvit.measurements.robustness.masking import masking_signs
from dynvit.measurements.robustness.met import met_in
from dynvit.measurements.robustness.result import (
    RobustnessResult,
    comparable,
    on_most_attacked,
    said,
    unbounded,
    within,
)
from dynvit.measurements.terms import Termed

if TYPE_CHECKING:
    from dynvit.leaderboard.per_sample import Bools


class RobustEntry(Frozen):
    """Accuracy within one ball: an image counts if every attack of this and of smaller balls leaves it right."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    n: int = Field(ge=1, description="images attacked")
    images: str | None = Field(
        default=None,
        exclude_if=lambda images: images is None,
        description="which images: a hash of their ids; absent: those that all entries of the board were attacked on; "
        "after ?: those of one of the boards that were joined, which does not tell",
    )
    clean_pct: Percent = Field(description="top-1 accuracy of these images, clean, percent")
    accuracy_pct: Percent = Field(description="top-1 accuracy under the worst of all attacks, image by image, percent")
    ci95_low_pct: Percent = Field(description="lower end of its 95 % interval, percent")
    ci95_high_pct: Percent = Field(description="upper end of its 95 % interval, percent")
    strongest: Name = Field(description="the single attack and variant at this radius that left least")
    strongest_pct: Percent = Field(description="what it alone left, percent")
    attacks: int = Field(
        ge=1, description="attempts that count: attacks, variants and restarts, those within smaller balls too"
    )
    met: str | None = Field(
        default=None,
        exclude_if=lambda met: met is None,
        description="which attacks these are: of each a hash of its settings and radii, as often as it was tried; "
        "absent: those that all entries of the board have met within the ball; after ?: as with images",
    )


class SlowdownEntry(Frozen):
    """Compute within one ball: the attack that raised it most."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    keep_label: bool = Field(description="whether the answer had to stay what it was")
    gmacs_mean: Amount = Field(description="mean GMACs an image under attack")
    clean_gmacs_mean: Amount = Field(description="mean GMACs an image of the same images, clean")
    saving_lost_pct: float | None = Field(
        description="share of the clean saving against dense that is gone, percent; null: nothing was saved"
    )
    attack: Name = Field(description="the attack")


class RobustnessSummary(Termed):
    """What attacks leave of one record."""

    accuracy: tuple[RobustEntry, ...] = Field(default=(), description="accuracy under attack, by norm and radius")
    slowdown: tuple[SlowdownEntry, ...] = Field(default=(), description="compute under attack, by norm and radius")
    masking_signs: tuple[str, ...] = Field(default=(), description="signs that gradients are masked")

    def terms(self) -> dict[str, str | None]:
        """The images, and of each ball the attacks."""
        met = {f"{robust.norm} {robust.eps!r}": robust.met for robust in self.accuracy}
        return {"images": self.accuracy[0].images} | met if self.accuracy else {}

    def on_terms(self, terms: Mapping[str, str | None]) -> Self:
        """The same with other images and attacks."""
        accuracy = tuple(
            robust.model_copy(update={"images": terms["images"], "met": terms[f"{robust.norm} {robust.eps!r}"]})
            for robust in self.accuracy
        )
        return self.model_copy(update={"accuracy": accuracy})


class RobustFront(Frozen):
    """The front of three objectives among the entries that were attacked within one ball."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    objectives: tuple[Objective, ...] = Field(description="axes of the front, with the reference point")
    n_entries: int = Field(
        ge=1, description="entries that met the same attacks on the same images: the terms that most have"
    )
    front: tuple[Name, ...] = Field(description="record ids of the entries that no other dominates")
    hypervolume: Amount = Field(description="in GMACs x percent x percent")
    hypervolume_share: Annotated[float, Field(ge=0, le=1)] = Field(
        description="the same as a share of the box from the reference point to 0 GMACs, 100 % and 100 %"
    )


class RobustnessOverview(Frozen):
    """What attacks leave of a board."""

    fronts: tuple[RobustFront, ...] = Field(description="by norm and radius")


def summarise(
    records: Sequence[Record], results: Mapping[str, Sequence[RobustnessResult]]
) -> dict[str, RobustnessSummary]:
    """Every attacked record's summary. The static backbone is what "undefended" means for signs of masking: the record
    without knobs that costs what dense costs."""
    attacked = {
        record.record_id: comparable(results.get(record.record_id, ()), record.preprocessing.image_size)
        for record in records
    }
    static = next((record.record_id for record in records if is_static(record) and attacked[record.record_id]), None)
    base = attacked[static] if static else ()
    found = {}
    for record in records:
        own = results.get(record.record_id)
        if not own:
            continue
        size = record.preprocessing.image_size
        found[record.record_id] = RobustnessSummary(
            accuracy=robust_entries(own, size),
            slowdown=slowdown_entries(own),
            masking_signs=tuple(masking_signs(attacked[record.record_id], () if is_static(record) else base, size)),
        )
    return found


def robust_fronts(entries: Sequence[Entry], board: Leaderboard) -> Iterator[RobustFront]:
    """A front of three objectives for each ball: what is kept under attack beside accuracy and compute.

    It compares the entries that met the same attacks on the same images, those that most have; others are not on it.
    """
    three = (*board.objectives, Objective(key="accuracy_pct", higher_is_better=True, reference=0.0))
    minimise, reference = (True, False, False), [objective.reference for objective in three]
    summaries = board.summaries("robustness", RobustnessSummary)
    left = [(e, r) for e in entries if e.record_id in summaries for r in summaries[e.record_id].accuracy]
    for norm, eps in sorted({(robust.norm, robust.eps) for _, robust in left}):
        there = [(entry, r) for entry, r in left if (r.norm, r.eps) == (norm, eps)]
        terms = most_compared(r for _, r in there)
        attacked = [(entry, r.accuracy_pct) for entry, r in there if terms_of(r) == terms]
        points = [(entry.gmacs_mean, entry.top1_pct, accuracy) for entry, accuracy in attacked]
        worth = hypervolume(points, reference, minimise)
        on_front = non_dominated(points, minimise)
        yield RobustFront(
            norm=norm,
            eps=eps,
            objectives=three,
            n_entries=len(attacked),
            front=tuple(entry.record_id for (entry, _), keep in zip(attacked, on_front, strict=True) if keep),
            hypervolume=worth,
            hypervolume_share=min(worth / (reference[0] * (100 - reference[1]) * 100), 1.0),
        )


def robust_entries(results: Sequence[RobustnessResult], image_size: Sequence[int]) -> tuple[RobustEntry, ...]:
    """Accuracy within each ball that was tried, by norm and rising radius.

    Balls that hold every image only check for masking and are left out. Where several sets of images were attacked, one
    stands: ``on_most_attacked``.
    """
    attacks = comparable(results, image_size)
    found = []
    for norm, those in _by_norm(attacks).items():
        alive: Bools | None = None
        tried = list[RobustnessResult]()
        for eps in sorted({attack.eps for attack in those}):
            if unbounded(norm, eps, image_size):
                continue
            here = [attack for attack in those if attack.eps == eps]
            for attack in here:
                assert attack.right is not None
                right = unpack(attack.right, attack.n)
                alive = right if alive is None else alive & right
            assert alive is not None
            tried += here
            strongest = min(here, key=lambda attack: attack.accuracy_pct)
            low, high = wilson(int(alive.sum()), len(alive))
            found.append(
                RobustEntry(
                    norm=norm,
                    eps=eps,
                    n=strongest.n,
                    images=strongest.images,
                    clean_pct=strongest.clean_accuracy_pct or 0.0,
                    accuracy_pct=100 * int(alive.sum()) / len(alive),
                    ci95_low_pct=low,
                    ci95_high_pct=high,
                    strongest=said(strongest),
                    strongest_pct=strongest.accuracy_pct,
                    attacks=len(tried),
                    met=met_in(tried),
                )
            )
    return tuple(found)


def left_within(
    results: Sequence[RobustnessResult], norm: str, eps: float, image_size: Sequence[int]
) -> tuple[str | None, Bools] | None:
    """Which images every attack within a ball leaves correct, as ``robust_entries`` counts them.

    Returns: a hash of the images, and a bit each; None where the ball was not tried.
    """
    tried = within(results, norm, eps, image_size)
    if not tried:
        return None
    return tried[0].images, right_in_all(unpack(attack.right, attack.n) for attack in tried if attack.right is not None)


def slowdown_entries(results: Sequence[RobustnessResult]) -> tuple[SlowdownEntry, ...]:
    """The worst slowdown within each ball that was tried, and smaller ones, with and without the label kept."""
    found = []
    for keep_label, criteria in ((False, ("slowdown", "slowdown-keep-label")), (True, ("slowdown-keep-label",))):
        for norm, those in _by_norm(on_most_attacked(a for a in results if a.criterion in criteria)).items():
            for eps in sorted({attack.eps for attack in those}):
                worst = max((attack for attack in those if attack.eps <= eps), key=lambda attack: attack.gmacs_mean)
                found.append(
                    SlowdownEntry(
                        norm=norm,
                        eps=eps,
                        keep_label=keep_label,
                        gmacs_mean=worst.gmacs_mean,
                        clean_gmacs_mean=worst.clean_gmacs_mean or 0.0,
                        saving_lost_pct=worst.saving_lost_pct,
                        attack=said(worst),
                    )
                )
    return tuple(found)


def _by_norm(attacks: Iterable[RobustnessResult]) -> dict[str, list[RobustnessResult]]:
    groups: dict[str, list[RobustnessResult]] = defaultdict(list)
    for attack in attacks:
        groups[attack.norm].append(attack)
    return dict(sorted(groups.items()))
