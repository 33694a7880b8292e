"""What may come of a test, and the one rule that decides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dynvit.report.claims.claim import Bounded

Outcome = Literal["not reproduced", "mixed", "inconclusive", "not testable here", "not measured yet", "reproduced"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""The unpleasant ones first."""
RULE = (
    "*Reproduced*: the lower end of the 95 % interval is at the claimed bound or above, or below it by no more than "
    "the claim allows. *Not reproduced*: it is below that, and the upper end is below the bound itself. "
    "*Inconclusive*: neither. *Mixed*: reproduced on one board, not on another. *Not testable here*: data or weights "
    "are not at hand, costs differ, a timing has too few valid rounds, or the board does not say that both entries "
    "were trained alike. *Not measured yet*: a command below would measure it"
)


@dataclass(frozen=True)
class Finding:
    """What one board or one file says of a claim.

    ``place``: its name; ``what`` was compared; ``measured``: the numbers; ``because``: why there is no other outcome.
    """

    place: str
    outcome: Outcome
    what: str = ""
    measured: str = ""
    because: str = ""


def decided(low: float, high: float, test: Bounded) -> tuple[Outcome, str]:
    """The outcome of an interval against the claimed bound, and why it is none, where it is."""
    if low >= test.at_least - test.within:  # first: an interval within what the claim allows is no other outcome
        return "reproduced", ""
    if high < test.at_least:
        return "not reproduced", ""
    bound = f"{test.at_least:g}" + (f" less {test.within:g}" if test.within else "")
    return "inconclusive", f"the interval holds the bound, {bound}"
