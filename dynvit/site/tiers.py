"""What the tiers of entries mean, on pages."""

from __future__ import annotations

from collections.abc import Mapping

from dynvit.leaderboard.tiers import CHECKED, REMEASURED, SELF_REPORTED

PAPER = "a paper's claim"
MEANING: Mapping[str, str] = {
    SELF_REPORTED: "nobody but who sent it in has measured it",
    CHECKED: "which images it has right is published, and every number that follows from others was derived again",
    REMEASURED: "somebody measured it again, and it agrees",
    PAPER: "printed in a paper, not measured here, on no front",
}
