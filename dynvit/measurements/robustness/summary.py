"""What attacks leave of a record: the worst of them image by image, and the worst slowdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dynvit.leaderboard.board import Entry, Leaderboard, Objective
from dynvit.leaderboard.front import hypervolume, non_dominated
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import right_in_all, unpack
from dynvit.leaderboard.record import Amount, Frozen, Name, Percent, Record, is_static
from dynvit.measurements.robustness.masking import masking_signs
from dynvit.measurements.robustness.result import RobustnessResult, comparable, on_most_attacked, said, unbounded
from dynvit.measurements.robustness.same_images import images_of, most_compared, unequal_images, without_shared

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
        description="which images: a hash of their ids; absent: those that all entries of the run were attacked on",
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


class RobustnessSummary(Frozen):
    """What attacks leave of one record."""

    accuracy: tuple[RobustEntry, ...] = Field(default=(), description="accuracy under attack, by norm and radius")
    slowdown: tuple[SlowdownEntry, ...] = Field(default=(), description="compute under attack, by norm and radius")
    masking_signs: tuple[str, ...] = Field(default=(), description="signs that gradients are masked")


class RobustFront(Frozen):
    """The front of three objectives among the entries that were attacked within one ball."""

    norm: Name = Field(description="norm of the ball")
    eps: Amount = Field(description="its radius, pixels in [0,1]")
    objectives: tuple[Objective, ...] = Field(description="axes of the front, with the reference point")
    n_entries: int = Field(ge=1, description="entries attacked on the same images, those that most were attacked on")
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
    return without_shared(found)


def attempts(summary: RobustnessSummary) -> dict[str, int]:
    """How many attempts a row's accuracy within the largest ball has withstood, by norm."""
    return {robust.norm: robust.attacks for robust in sorted(summary.accuracy, key=lambda robust: robust.eps)}


def no_comparison(summaries: Sequence[RobustnessSummary]) -> Iterator[str]:
    """Lines on what keeps rows from being compared: other images, other numbers of attempts."""
    yield from unequal_images(summaries)
    yield from unequal_attempts(summaries)


def unequal_attempts(summaries: Iterable[RobustnessSummary]) -> Iterator[str]:
    """Lines on norms in which rows have met differently many attempts: of their accuracies the smaller is not the
    weaker model's."""
    counts: dict[str, set[int]] = defaultdict(set)
    for summary in summaries:
        for norm, count in attempts(summary).items():
            counts[norm].add(count)
    for norm, found in sorted(counts.items()):
        if len(found) > 1:
            yield (
                f"rows have met from {min(found)} to {max(found)} attempts under {norm}, and are no comparison: "
                "the same bench again adds those that are missing, --fresh makes all anew"
            )


def robust_fronts(entries: Sequence[Entry], board: Leaderboard) -> Iterator[RobustFront]:
    """A front of three objectives for each ball: what is kept under attack beside accuracy and compute.

    It compares the entries on the images that most were attacked on; those on others are not on it.
    """
    three = (*board.objectives, Objective(key="accuracy_pct", higher_is_better=True, reference=0.0))
    minimise, reference = (True, False, False), [objective.reference for objective in three]
    summaries = board.summaries("robustness", RobustnessSummary)
    left = [(e, r) for e in entries if e.record_id in summaries for r in summaries[e.record_id].accuracy]
    for norm, eps in sorted({(robust.norm, robust.eps) for _, robust in left}):
        within = [(entry, r) for entry, r in left if (r.norm, r.eps) == (norm, eps)]
        images = most_compared(r for _, r in within)
        attacked = [(entry, r.accuracy_pct) for entry, r in within if images_of(r) == images]
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
        count = 0
        for eps in sorted({attack.eps for attack in those}):
            if unbounded(norm, eps, image_size):
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
                    images=strongest.images,
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


def left_within(
    results: Sequence[RobustnessResult], norm: str, eps: float, image_size: Sequence[int]
) -> tuple[str | None, Bools] | None:
    """Which images every attack within a ball leaves correct, as ``robust_entries`` counts them.

    Returns: a hash of the images, and a bit each; None where the ball was not tried.
    """
    attacks = comparable(results, image_size)
    within = [attack for attack in attacks if attack.norm == norm and attack.eps <= eps]
    if not within:
        return None
    return within[0].images, right_in_all(
        unpack(attack.right, attack.n) for attack in within if attack.right is not None
    )


def slowdown_entries(results: Sequence[RobustnessResult]) -> tuple[SlowdownEntry, ...]:
    """The worst slowdown within each ball that was tried, and smaller ones, with and without the label kept."""
    found = []
    for keep_label, criteria in ((False, ("slowdown", "slowdown-keep-label")), (True, ("slowdown-keep-label",))):
        for norm, those in _by_norm(on_most_attacked(a for a in results if a.criterion in criteria)).items():
            for eps in sorted({attack.eps for attack in those}):
                within = [attack for attack in those if attack.eps <= eps]
                worst = max(within, key=lambda attack: attack.gmacs_mean)
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
