"""The entry of a board that a claim is tested on, by rule."""

from __future__ import annotations

from collections.abc import Collection

from dynvit.leaderboard.baseline import DENSE
from dynvit.leaderboard.board import Entry, Leaderboard, of_first_seed
from dynvit.report.build import on_front
from dynvit.report.claims.claim import Choice
from dynvit.report.claims.evidence import AbsentError

NEAR, ALIKE = 0.10, 0.01
"""Of dense: how far an entry may be from the wanted cost, and what counts as one cost."""
_ROUNDING = 1e-9
RULE = (
    "Of the method's entries of the first training seed, those whose checkpoint was trained for a cost at most 10 % of "
    "dense away from the one that the claim names, or for none (for speed: any); of these, those that no other "
    "dominates; of these the nearest in cost, at most 10 % of dense away; of those within 1 % of dense of it the most "
    "accurate"
)


def choose(
    board: Leaderboard,
    choice: Choice,
    other: Entry | None = None,
    measured: Collection[str] | None = None,
    any_target: bool = False,
) -> Entry:
    """The entry that a rule names.

    Args:
        board: where.
        choice: the rule.
        other: the entry that ``times`` is a multiple of.
        measured: ids of the entries that have what is compared; None: all.
        any_target: entries whose checkpoint was trained for another cost, too.

    Returns: the entry.
    Raises: ``AbsentError`` where there is none.
    """
    found = [
        entry
        for entry in board.entries
        if entry.method == choice.method
        and (measured is None or entry.record_id in measured)
        and (choice.division is None or (entry.training is not None and entry.training.division == choice.division))
        and choice.knobs.items() <= entry.knobs.items()
        and all(entry.options.get(name) == value for name, value in choice.options.items())
        and (entry.baseline or not _is_static(choice))
    ]
    what = _who(choice) + ("" if measured is None else " with that measurement")
    if not found:
        raise AbsentError(f"the board has no entry of {what}")
    wanted, dense = _wanted(board, choice, other), board.setting.dense_gmacs
    if wanted is not None and not any_target:
        found = _trained_for(found, wanted / dense, what)
    found = _front(of_first_seed(found))
    if wanted is None:
        return max(found, key=lambda entry: entry.top1_pct)
    nearest = min(found, key=lambda entry: (abs(entry.gmacs_mean - wanted), entry.gmacs_mean))
    if abs(nearest.gmacs_mean - wanted) > NEAR * dense:
        raise AbsentError(f"the board has no entry of {what} near {100 * wanted / dense:.3g} % of dense")
    alike = (entry for entry in found if abs(entry.gmacs_mean - nearest.gmacs_mean) <= ALIKE * dense)
    return max(alike, key=lambda entry: (entry.top1_pct, -entry.gmacs_mean))


def said(choice: Choice) -> str:
    """The rule in words."""
    if choice.share is not None:
        return f"{_who(choice)} at {100 * choice.share:.3g} % of dense"
    if choice.times is not None:
        cost = "the same cost" if choice.times == 1 else f"{100 * choice.times:.3g} % of its cost"
        return f"{_who(choice)} at {cost}"
    return _who(choice)


def _who(choice: Choice) -> str:
    division = [] if choice.division is None else [choice.division]
    fixed = [f"{name} {value}" for name, value in sorted({**choice.options, **choice.knobs}.items())]
    return " ".join([*division, choice.method, *(["with", ", ".join(fixed)] if fixed else [])])


def _is_static(choice: Choice) -> bool:
    """Dense alone is the static backbone itself."""
    return choice.method == DENSE and choice.share is None and choice.times is None


def _front(entries: list[Entry]) -> list[Entry]:
    flags = on_front([(entry.gmacs_mean, entry.top1_pct) for entry in entries])
    return [entry for entry, flag in zip(entries, flags, strict=True) if flag]


def _wanted(board: Leaderboard, choice: Choice, other: Entry | None) -> float | None:
    if choice.share is not None:
        return choice.share * board.setting.dense_gmacs
    if choice.times is not None and other is not None:
        return choice.times * other.gmacs_mean
    return None


def _trained_for(entries: list[Entry], share: float, what: str) -> list[Entry]:
    """A checkpoint that was trained for another cost is not what a claim about this one is of."""
    targets = {entry.record_id: entry.training.target if entry.training else None for entry in entries}
    found = [
        entry for entry in entries if (of := targets[entry.record_id]) is None or abs(of - share) <= NEAR + _ROUNDING
    ]
    if not found:
        others = ", ".join(f"{target:g}" for target in sorted({target for target in targets.values() if target}))
        raise AbsentError(f"{what} was trained for {others} of dense, not for {100 * share:.3g} %, on the board")
    return found
