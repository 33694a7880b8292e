"""What papers claim, held against the boards: ``python -m dynvit.report.claims`` writes ``docs/claims.md``."""

from __future__ import annotations

from dynvit.report.claims.claim import Claims, read_claims
from dynvit.report.claims.evidence import Evidence
from dynvit.report.claims.judging import Verdict, judge, judge_all
from dynvit.report.claims.page import page

__all__ = ["Claims", "Evidence", "Verdict", "judge", "judge_all", "page", "read_claims"]
