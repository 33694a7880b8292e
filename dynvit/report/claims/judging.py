"""From a claim and what was measured to a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dynvit.report.claims.claim import AccuracyTest, Claim, RobustTest, SharesTest, SkipsTest, SpeedTest, TableTest
from dynvit.report.claims.evidence import AbsentError, Evidence, UntoldError
from dynvit.report.claims.on_boards import accuracy, robust, speed
from dynvit.report.claims.on_files import shares, skips, table
from dynvit.report.claims.outcome import OUTCOMES, Finding, Outcome


@dataclass(frozen=True)
class Verdict:
    """A claim and what came of it, board by board."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """The least favourable of those that tell, or mixed; a board that cannot tell takes nothing from the others."""
        found = {finding.outcome for finding in self.findings}
        telling = found - {"not measured yet", "not testable here"}
        if {"reproduced", "not reproduced"} <= telling:
            return "mixed"
        return next(outcome for outcome in OUTCOMES if outcome in (telling or found))


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """What the boards and the result files say of a claim. Raises: ``InputError`` where one of them is none."""
    test = claim.test
    places: tuple[str, ...] = ("",)
    if isinstance(test, AccuracyTest | RobustTest | SpeedTest):
        places = test.boards
    elif isinstance(test, TableTest | SharesTest | SkipsTest):
        places = (test.file,)
    return Verdict(claim, tuple(_found(claim, place, evidence) for place in places))


def judge_all(claims: Iterable[Claim], evidence: Evidence) -> list[Verdict]:
    """Every verdict, the unpleasant ones first, else in the order given. Raises: as ``judge``."""
    verdicts = [judge(claim, evidence) for claim in claims]
    return sorted(verdicts, key=lambda verdict: OUTCOMES.index(verdict.outcome))


def _found(claim: Claim, place: str, evidence: Evidence) -> Finding:
    test = claim.test
    try:
        match test:
            case AccuracyTest():
                return accuracy(test, place, evidence)
            case RobustTest():
                return robust(test, place, evidence)
            case SpeedTest():
                return speed(test, place, evidence)
            case TableTest():
                return table(test, evidence)
            case SharesTest():
                return shares(test, evidence)
            case SkipsTest():
                return skips(test, evidence)
        return Finding(place, "not testable here", because=test.because)
    except AbsentError as absent:
        return Finding(place, "not measured yet", because=str(absent))
    except UntoldError as untold:
        return Finding(place, "not testable here", because=str(untold))
