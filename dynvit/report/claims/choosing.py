"""The entry of a board that a claim is tested on, by rule."""

from __future__ import annotations

from collections.abc import Collection

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.report.claims.claim import DENSE, Choice
from dynvit.report.claims.evidence import Absent

NEAR, ALIKE = 0.10, 0.01
"""Of dense: how far an entry may be from the wanted cost, and what counts as the same cost."""
RULE = (
    "The entry nearest in cost to the one that the claim names, of the first training seed and at most 10 % of dense away; "
    "of several within 1 % of dense of each other the most accurate"
)


def choose(
    board: Leaderboard, choice: Choice, other: Entry | None = None, measured: Collection[str] | None = None
) -> Entry:
    """The entry that a rule names.

    Args:
        board: where.
        choice: the rule.
        other: the entry that ``times`` is a multiple of.
        measured: ids of the entries that have what is compared; None: all.

    Returns: the entry.
    Raises: ``Absent`` where there is none.
    """
    found = [e for e in board.entries if e.method == choice.method and (measured is None or e.record_id in measured)]
    what = choice.method if measured is None else f"{choice.method} with that measurement"
    if choice.division is not None:
        found = [e for e in found if e.training is not None and e.training.division == choice.division]
        what = f"{choice.division} {what}"
    if choice.method == DENSE and choice.share is None and choice.times is None:
        found = [entry for entry in found if entry.baseline]
    found = [entry for entry in found if choice.knobs.items() <= entry.knobs.items()]
    if choice.knobs:
        what += " at " + ", ".join(f"{name} {value:g}" for name, value in choice.knobs.items())
    if not found:
        raise Absent(f"the board has no entry of {what}")
    found = _of_first_seed(found)
    wanted = _wanted(board, choice, other)
    if wanted is None:
        return max(found, key=_best)
    dense = board.setting.dense_gmacs
    nearest = min(found, key=lambda entry: (abs(entry.gmacs_mean - wanted), entry.gmacs_mean))
    if abs(nearest.gmacs_mean - wanted) > NEAR * dense:
        raise Absent(f"the board has no entry of {what} near {wanted / dense:.0%} of dense")
    alike = [entry for entry in found if abs(entry.gmacs_mean - nearest.gmacs_mean) <= ALIKE * dense]
    return max(alike, key=_best)


def said(choice: Choice) -> str:
    """The rule in words."""
    parts = [choice.method]
    if choice.division is not None:
        parts.insert(0, choice.division)
    if choice.knobs:
        parts.append("at " + ", ".join(f"{name} {value:g}" for name, value in choice.knobs.items()))
    if choice.share is not None:
        parts.append(f"at {100 * choice.share:.3g} % of dense")
    if choice.times is not None:
        parts.append("at the same cost" if choice.times == 1 else f"at {100 * choice.times:.3g} % of its cost")
    return " ".join(parts)


def _wanted(board: Leaderboard, choice: Choice, other: Entry | None) -> float | None:
    if choice.share is not None:
        return choice.share * board.setting.dense_gmacs
    if choice.times is not None and other is not None:
        return choice.times * other.gmacs_mean
    return None


def _of_first_seed(entries: list[Entry]) -> list[Entry]:
    """What is attacked and timed is of the first seed; what was not trained belongs to it."""
    seeds = [entry.training.seed for entry in entries if entry.training and entry.training.seed is not None]
    first = min(seeds, default=None)
    return [entry for entry in entries if entry.training is None or entry.training.seed in (None, first)]


def _best(entry: Entry) -> tuple[float, float, str]:
    return entry.top1_pct, -entry.gmacs_mean, entry.record_id
