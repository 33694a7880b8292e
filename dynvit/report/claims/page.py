"""``docs/claims.md``: every claim with its verdict, the unpleasant ones first."""

from __future__ import annotations

import itertools
import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from dynvit.measurements.speed.summary import LEAST_ROUNDS
from dynvit.report.claims import choosing, outcome
from dynvit.report.claims.choosing import said
from dynvit.report.claims.claim import (
    AccuracyTest,
    Bounded,
    Claim,
    Claims,
    RobustTest,
    SharesTest,
    SkipsTest,
    SpeedTest,
    TableTest,
)
from dynvit.report.claims.evidence import AbsentError, Evidence
from dynvit.report.claims.judging import Verdict, judge_all
from dynvit.report.claims.outcome import OUTCOMES, Finding

COMMAND = "python -m dynvit.report.claims"
_WIDTH = 120


def page(claims: Claims, evidence: Evidence) -> str:
    """The whole page, in Markdown. Raises: ``InputError`` where a board or a result file is none."""
    verdicts = judge_all(claims.claims, evidence)
    parts = [*_head(verdicts), _overview(verdicts)]
    for heading in OUTCOMES:
        own = [verdict for verdict in verdicts if verdict.outcome == heading]
        parts += [f"## {heading.capitalize()}", *map(_section, own)] if own else []
    parts += ["## The commands", *_board_commands(claims, evidence), *_result_commands(claims, evidence)]
    return "\n\n".join(parts) + "\n"


def _head(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "# What papers claim, and what came of it here"
    yield _wrapped(
        f"Written by `{COMMAND}` from [leaderboards/claims.yaml](../leaderboards/claims.yaml), the boards beside it "
        "and [results](results); a test writes it again and compares. Nothing here is filled in: what is not measured "
        "says so, with the command that would measure it."
    )
    yield _wrapped(f"**Which entry is compared.** {choosing.RULE}.")
    yield _wrapped(
        f"**What the verdicts mean.** {outcome.RULE}. Intervals are of the board's images, and of its training seeds "
        "where there are several; image by image where the board keeps that. For speed the ends are the least and the "
        f"most of the valid rounds instead, {LEAST_ROUNDS} or more. Of several boards that tell, the least favourable "
        "decides. "
        f"Tests are not corrected for their number: of {len(verdicts)}, one or two are wrong by chance. Our models and "
        "images are small: *not reproduced* says that a claim does not carry over to them, not that the paper is wrong."
    )
    counts = Counter(verdict.outcome for verdict in verdicts)
    yield " · ".join(f"{counts[heading]} {heading}" for heading in OUTCOMES) + f" · {len(verdicts)} claims"


def _overview(verdicts: Sequence[Verdict]) -> str:
    lines = ["| verdict | paper | claim | claimed |", "|---|---|---|---|"]
    for verdict in verdicts:
        claim = verdict.claim
        cells = (f"[{verdict.outcome}](#{claim.id})", claim.paper, claim.claim, claim.claimed)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _section(verdict: Verdict) -> str:
    claim = verdict.claim
    text = f"Claimed: {claim.claimed}; {claim.setting} ({claim.source})."
    tested = _tested(claim)
    text += f" Tested here: {tested}." if tested else ""
    text += f" {claim.note}." if claim.note else ""
    findings = [_wrapped(f"- {_finding(finding)}", "  ") for finding in verdict.findings]
    heading = f'### <a id="{claim.id}"></a>{claim.paper}: {claim.claim}'
    return "\n".join([heading, _wrapped(text), "", *findings])


def _finding(finding: Finding) -> str:
    where = f"`{finding.place}`: " if finding.place else ""
    because = f", because {finding.because}" if finding.because else ""
    numbers = "; ".join(part for part in (finding.what, finding.measured) if part)
    return f"{where}**{finding.outcome}**{because}" + (f": {numbers}" if numbers else "") + "."


def _tested(claim: Claim) -> str:
    """How, in words; empty for a claim that is not tested."""
    match claim.test:
        case AccuracyTest() as test:
            return f"top-1 of {said(test.entry)} less that of {said(test.against)}, {_bound(test)}, in points"
        case RobustTest() as test:
            by = "all attacks of the board" if test.attack is None else f"attacks, `{test.attack}` among them"
            ball = f"accuracy under the worst of {by} within {test.norm} {test.eps:.3g}"
            return f"{ball}, of {said(test.entry)} less that of {said(test.against)}, {_bound(test)}, in points"
        case SpeedTest() as test:
            what = "realised share of the theoretical speed-up" if test.of_theory else "realised speed-up over dense"
            return f"{what} of {said(test.entry)} at the largest batch, {_bound(test)}"
        case TableTest() as test:
            value = {"top1_pct": "top-1", "robust_pct": "robust accuracy"}[test.value]
            at = "" if test.exit is None else f" at exit {test.exit}"
            others = " and of ".join(f"`{name}`" for name in test.against)
            cost = ", at costs within 1 % of each other" if test.equal_cost else ""
            cost += "" if test.share is None else f", at {100 * test.share:.3g} % of its cost"
            return f"{value}{at} of row `{test.row}` less that of {others}{cost}, {_bound(test)}, in points"
        case SharesTest():
            return "with the budget the first exit's share falls from the largest, and the last one's rises"
        case SkipsTest() as test if test.says == "tokens most":
            return "skip ratios, mean over blocks: depth below heads below tokens"
        case SkipsTest():
            return "skip ratios of depth, heads and tokens: each higher in the second half of the blocks"
    return ""


def _bound(test: Bounded) -> str:
    return f"at least {test.at_least:g}" + (f" ({test.within:g} below still counts)" if test.within else "")


def _board_commands(claims: Claims, evidence: Evidence) -> Iterator[str]:
    for name, command in claims.boards.items():
        try:
            board = evidence.board(name)
        except AbsentError:
            yield f"`{name}` is not measured yet; this would:\n\n{_code(command)}"
            continue
        how = "its entries do not say how they were trained" if board.division is None else f"division {board.division}"
        made = (
            f"[`{name}`](../leaderboards/{name}.json) was made by this on {board.generated.date_utc:%Y-%m-%d} ({how}):"
        )
        yield f"{made}\n\n{_code(board.generated.command)}"
        if command != board.generated.command:
            yield f"What `{name}` lacks of the above, this measures:\n\n{_code(command)}"


def _result_commands(claims: Claims, evidence: Evidence) -> Iterator[str]:
    for name, command in claims.results.items():
        found = next((file for suffix in ("json", "csv") if evidence.has(file := f"results/{name}.{suffix}")), None)
        if found is None:
            head = f"`{name}` is not measured yet; this would:"
        elif other := _made_otherwise(command, evidence, name):
            head = f"[`{name}`]({found}) was made with {other}; as the claims need it, this would:"
        else:
            head = f"[`{name}`]({found}) is written by:"
        yield f"{_wrapped(head)}\n\n{_code(command)}"


def _made_otherwise(command: str, evidence: Evidence, name: str) -> str:
    """What a table's own training says otherwise than the command, flag by flag; empty where it says the same."""
    if not evidence.has(f"results/{name}.json"):
        return ""
    body = evidence.table(name)
    targets = {row["target"] for row in body.rows if row.get("target") is not None}
    told = {**body.training, "attacked": body.attacked_images, "target": targets.pop() if len(targets) == 1 else None}
    asked = {flag: word for flag, word in itertools.pairwise(shlex.split(command)) if flag.startswith("--")}
    found = {flag: (told[key], word) for flag, word in asked.items() if (key := flag[2:].replace("-", "_")) in told}
    return ", ".join(
        f"no `{flag}`" if was is None else f"`{flag} {was}`"
        for flag, (was, word) in found.items()
        if str(was) != os.path.basename(word)
    )


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _code(command: str) -> str:
    """A command as a block, continued by the shell's own sign."""
    lines = textwrap.wrap(command, _WIDTH - 10, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(f"    {'' if place == 0 else '    '}{line}" for place, line in enumerate(lines))
