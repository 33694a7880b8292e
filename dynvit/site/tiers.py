"""How far a number is to be trusted: the one place that says it."""

from __future__ import annotations

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.per_sample import PerSampleResults

SELF_REPORTED, EVIDENCE_CHECKED, PAPER = "self-reported", "evidence checked", "a paper's claim"
MEANING = {
    SELF_REPORTED: "nobody but who sent it in has measured it",
    EVIDENCE_CHECKED: "which images it has right is published, and agrees with its accuracy",
    PAPER: "printed in a paper, not measured here, on no front",
}


def tier_of(entry: Entry, board: Leaderboard, evidence: PerSampleResults | None) -> str:
    """The tier of an entry, given its per-sample results where they stand beside the board."""
    if evidence is None or evidence.n != board.setting.n:
        return SELF_REPORTED
    right = int(evidence.bits().sum())
    return EVIDENCE_CHECKED if right == round(entry.top1_pct * board.setting.n / 100) else SELF_REPORTED
