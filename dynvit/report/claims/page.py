"""``docs/claims.md``: every claim with its verdict, the unpleasant ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dynvit.report.claims import choosing
from dynvit.report.claims.claim import (
    AccuracyTest,
    Claims,
    RobustTest,
    SharesTest,
    SkipsTest,
    SpeedTest,
    TableTest,
    Untestable,
)
from dynvit.report.claims.choosing import said
from dynvit.report.claims.claim import Test
from dynvit.report.claims.evidence import Absent, Evidence
from dynvit.report.claims.judging import OUTCOMES, RULE, Finding, Verdict, of_all

COMMAND = "python -m dynvit.report.claims"


def page(claims: Claims, evidence: Evidence) -> str:
    """The whole page, in Markdown. Raises: ``InputError`` where a board or a result file is none."""
    verdicts = of_all(claims.claims, evidence)
    parts = [*_head(verdicts), *_overview(verdicts)]
    for outcome in OUTCOMES:
        own = [verdict for verdict in verdicts if verdict.outcome == outcome]
        if own:
            parts += [f"## {outcome.capitalize()}", *(_section(verdict) for verdict in own)]
    parts += ["## The commands", *_commands(claims, evidence)]
    return "\n\n".join(parts) + "\n"


def _head(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "# What papers claim, and what came of it here"
    yield (
        f"Written by `{COMMAND}` from [leaderboards/claims.yaml](../leaderboards/claims.yaml), the boards and the files in "
        "[results](results/); a test writes it again and compares. Nothing on this page was chosen by hand or filled in: "
        "what is not measured says so."
    )
    yield (
        f"**How an entry is chosen.** {choosing.RULE}. **How a verdict is made.** {RULE}. Intervals are of this board's "
        "images, and of its training seeds where there are several; image by image where the board keeps that. A claim with "
        "several boards has the least favourable of their verdicts. A small model on small images is not the paper's: "
        "*not reproduced* says that the claim does not carry over to what stands here, not that the paper is wrong."
    )
    counts = Counter(verdict.outcome for verdict in verdicts)
    yield " · ".join(f"**{counts[outcome]}** {outcome}" for outcome in OUTCOMES) + f" · {len(verdicts)} claims"


def _overview(verdicts: Sequence[Verdict]) -> Iterator[str]:
    lines = ["| verdict | paper | claim | claimed |", "|---|---|---|---|"]
    for verdict in verdicts:
        claim = verdict.claim
        cells = (f"[{verdict.outcome}](#{claim.id})", claim.paper, claim.claim, claim.claimed)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    yield "\n".join(lines)


def _section(verdict: Verdict) -> str:
    claim = verdict.claim
    lines = [
        f'<a id="{claim.id}"></a>',
        "",
        f"### {claim.paper}: {claim.claim}",
        "",
        f"Claimed: {claim.claimed}, on {claim.setting} ({claim.source}).",
    ]
    if not isinstance(claim.test, Untestable):
        lines.append(f"Tested: {_tested(claim.test)}.")
    if claim.note is not None:
        lines.append(f"{claim.note}.")
    lines += ["", *(f"- {_finding(finding)}" for finding in verdict.findings)]
    return "\n".join(lines)


def _finding(finding: Finding) -> str:
    where = f"`{finding.place}`: " if finding.place else ""
    said_of = ". ".join(part for part in (finding.what, finding.measured) if part)
    because = f", because {finding.because}" if finding.because else ""
    return f"{where}**{finding.outcome}**{because}" + (f". {said_of}" if said_of else "") + "."


def _tested(test: Test) -> str:
    if isinstance(test, AccuracyTest):
        return f"top-1 of {said(test.entry)} less that of {said(test.against)}, {_bound(test)} points"
    if isinstance(test, RobustTest):
        by = "" if test.attack is None else f", attacked by `{test.attack}`"
        entries = f"{said(test.entry)} less that of {said(test.against)}"
        return f"accuracy within {test.norm} {test.eps:g} of {entries}{by}, {_bound(test)} points"
    if isinstance(test, SpeedTest):
        what = "realised share of the theoretical speed-up" if test.of_theory else "realised speed-up over dense"
        return f"{what} of {said(test.entry)} at the largest batch, {_bound(test)}"
    if isinstance(test, TableTest):
        of = {"top1_pct": "top-1", "robust_pct": "robust accuracy"}[test.value]
        at = "" if test.exit is None else f" at exit {test.exit}"
        cost = ", at costs within 1 % of each other" if test.equal_cost else ""
        return f"{of}{at} of row `{test.row}` less that of {_rows(test)}{cost}, {_bound(test)} points"
    if isinstance(test, SharesTest):
        return "from the lowest to the highest budget the first exit's share falls from the largest, and the last one's rises"
    assert isinstance(test, SkipsTest)
    if test.says == "tokens most":
        return "mean skip ratio over blocks: tokens above heads and depth"
    return "mean skip ratio of the second half of the blocks above that of the first, for depth, heads and tokens"


def _bound(test: AccuracyTest | RobustTest | SpeedTest | TableTest) -> str:
    within = f" (or {test.within:g} below)" if test.within else ""
    return f"at least {test.at_least:g}{within}"


def _rows(test: TableTest) -> str:
    return ", ".join(f"`{name}`" for name in test.against)


def _commands(claims: Claims, evidence: Evidence) -> Iterator[str]:
    """Of what is published the command that made it; of the rest the one that would."""
    for name, command in claims.boards.items():
        try:
            board = evidence.board(name)
        except Absent:
            yield f"`{name}` is not measured yet. This would:\n\n    {command}"
            continue
        made = f"[`{name}`](../leaderboards/{name}.json) was made by"
        division = board.division
        how = "its entries do not say how they were trained" if division is None else f"division {division}"
        yield f"{made} ({board.generated.date_utc:%d %B %Y}; {how}):\n\n    {board.generated.command}"
        if command != board.generated.command:
            yield f"What `{name}` lacks of the above, this would measure:\n\n    {command}"
    for name, command in claims.results.items():
        found = [file for suffix in ("json", "csv") if (file := f"results/{name}.{suffix}") and evidence.has(file)]
        head = f"[`{name}`]({found[0]}) is written by" if found else f"`{name}` is not measured yet. This would:"
        yield f"{head}\n\n    {command}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
