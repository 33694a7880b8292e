"""From a claim and what was measured to a verdict, by one rule for all claims."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.summary import RobustEntry
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.summary import shown, timing_at
from dynvit.report.boards import Board
from dynvit.report.claims.choosing import choose
from dynvit.report.claims.claim import (
    AccuracyTest,
    Claim,
    RobustTest,
    SharesTest,
    SkipsTest,
    SpeedTest,
    TableTest,
    Untestable,
)
from dynvit.report.claims.differences import Difference, of_entries, of_shares
from dynvit.report.claims.evidence import Absent, Evidence, Untold

Outcome = Literal["not reproduced", "not testable here", "not measured yet", "reproduced"]
OUTCOMES: tuple[Outcome, ...] = ("not reproduced", "not testable here", "not measured yet", "reproduced")
"""The unpleasant ones first."""
RULE = (
    "*Reproduced*: the lower end of the 95 % interval is at the claimed bound or above, or as little below it as the claim "
    "allows. *Not reproduced*: the upper end is below the bound. *Not testable here*: the interval holds the bound, or for the "
    "reason given"
)
_EPS, _COST = 0.05, 0.01


@dataclass(frozen=True)
class Finding:
    """What one board or one file says of a claim. ``place``: its name; ``what``: which entries; ``because``: why not."""

    place: str
    outcome: Outcome
    what: str = ""
    measured: str = ""
    because: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim and what came of it: the least favourable of its findings, of those that were measured."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """Of several boards the unpleasant one; one that is not measured yet takes nothing from the others."""
        found = {finding.outcome for finding in self.findings}
        measured = [outcome for outcome in OUTCOMES if outcome in found and outcome != "not measured yet"]
        return measured[0] if measured else "not measured yet"


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """What the boards and the result files say of a claim. Raises: ``InputError`` where one of them is none."""
    test = claim.test
    if isinstance(test, Untestable):
        return Verdict(claim, (Finding("", "not testable here", because=test.because),))
    places = test.boards if isinstance(test, AccuracyTest | RobustTest | SpeedTest) else (test.file,)
    return Verdict(claim, tuple(_found(claim, place, evidence) for place in places))


def decided(low: float, high: float, test: AccuracyTest | RobustTest | SpeedTest | TableTest) -> Outcome:
    """The verdict of an interval against the claimed bound."""
    if high < test.at_least:
        return "not reproduced"
    return "reproduced" if low >= test.at_least - test.within else "not testable here"


def _found(claim: Claim, place: str, evidence: Evidence) -> Finding:
    test = claim.test
    try:
        if isinstance(test, AccuracyTest):
            return _accuracy(test, place, evidence)
        if isinstance(test, RobustTest):
            return _robust(test, place, evidence)
        if isinstance(test, SpeedTest):
            return _speed(test, place, evidence)
        if isinstance(test, TableTest):
            return _table(test, evidence)
        if isinstance(test, SharesTest):
            return _shares(test, evidence)
        assert isinstance(test, SkipsTest)
        return _skips(test, evidence)
    except Absent as absent:
        return Finding(place, "not measured yet", because=str(absent))
    except Untold as untold:
        return Finding(place, "not testable here", because=str(untold))


def _accuracy(test: AccuracyTest, place: str, evidence: Evidence) -> Finding:
    board = evidence.board(place)
    against = choose(board, test.against)
    entry = choose(board, test.entry, against)
    found = of_entries(entry, against, board, evidence, place)
    return _of(test, place, _points(board, entry, against), found)


def _robust(test: RobustTest, place: str, evidence: Evidence) -> Finding:
    board = evidence.board(place)
    if test.attack is not None and test.attack not in board.generated.command:
        raise Absent(f"the board was not attacked by {test.attack}")
    balls = {name: ball for name, summary in Robustness.of(board).items() for ball in _within(summary.accuracy, test)}
    if not balls:
        raise Absent(f"the board was not attacked within {test.norm} {test.eps:g}")
    against = choose(board, test.against, measured=balls)
    entry = choose(board, test.entry, against, measured=balls)
    one, other = balls[entry.record_id], balls[against.record_id]
    right = [round(ball.accuracy_pct * ball.n / 100) for ball in (one, other)]
    found = of_shares(right[0], one.n, right[1], other.n)
    radius = f"{one.norm} {255 * one.eps:.3g}/255" if one.norm == "linf" else f"{one.norm} {one.eps:g}"
    under = f"{one.accuracy_pct:.1f} % against {other.accuracy_pct:.1f} % within {radius}"
    return _of(test, place, f"{_points(board, entry, against)}; {under}", found)


def _within(balls: tuple[RobustEntry, ...], test: RobustTest) -> Iterator[RobustEntry]:
    return (b for b in balls if b.norm == test.norm and abs(b.eps - test.eps) <= _EPS * test.eps)


def _speed(test: SpeedTest, place: str, evidence: Evidence) -> Finding:
    board = evidence.board(place)
    summaries = Speed.of(board)
    most = shown(summaries)
    timings = {name: timing_at(summary, *most) for name, summary in summaries.items()} if most else {}
    timed = {name: timing for name, timing in timings.items() if timing is not None and timing.speedup is not None}
    if most is None or not timed:
        raise Absent("nothing was timed on the board")
    entry = choose(board, test.entry, measured=timed)
    timing, theory = timed[entry.record_id], timed[entry.record_id].speedup_theoretical
    speedup, low, high = timing.speedup, timing.speedup_low, timing.speedup_high
    if speedup is None or low is None or high is None or not theory:
        raise Untold("no round of it was valid")
    unit, by = ("of theory", theory) if test.of_theory else ("× dense", 1.0)
    measured = f"{speedup / by:.2f} [{low / by:.2f}, {high / by:.2f}] {unit}, {timing.rounds_valid} valid rounds"
    what = f"{_named(board, entry)}: {speedup:.2f}× of {theory:.2f}× at batch {most[1]}, {most[0]}"
    outcome = decided(low / by, high / by, test)
    return Finding(place, outcome, what, measured, _too_wide(outcome, test))


def _table(test: TableTest, evidence: Evidence) -> Finding:
    body = evidence.table(test.file)
    rows = {str(row.get("name", row.get("reuse"))): row for row in body["rows"]}
    for name in (test.row, *test.against):
        if name not in rows or rows[name].get(test.value) is None:
            raise Absent(f"{test.file}.json has no {test.value} of row {name!r}")
    costs = {name: _cell(rows[name]["gmacs"], test) for name in (test.row, *test.against)}
    if test.equal_cost and max(costs.values()) > (1 + _COST) * min(costs.values()):
        said = ", ".join(f"{name} {cost:.4f}" for name, cost in costs.items())
        raise Untold(f"the rows' costs are not within 1 % of each other ({said} GMACs)")
    n = body["validation_images"] if test.value == "top1_pct" else body.get("attacked_images")
    if not isinstance(n, int):
        raise Absent(f"{test.file}.json does not say how many images were attacked")
    own = _cell(rows[test.row][test.value], test)
    found = {}
    for name in test.against:
        other = _cell(rows[name][test.value], test)
        found[name] = of_shares(round(own * n / 100), n, round(other * n / 100), n)
    worst = min(found, key=lambda name: found[name].high)
    outcomes = {decided(one.low, one.high, test) for one in found.values()}
    outcome = next(each for each in OUTCOMES if each in outcomes)
    what = f"{test.row} {own:.2f} % at {costs[test.row]:.4f} GMACs" + (f", exit {test.exit}" if test.exit else "")
    measured = "; ".join(f"against {name} {one}" for name, one in found.items())
    epochs = (body.get("training") or {}).get("epochs")
    note = f"; one seed, {epochs} epoch{'s' if epochs != 1 else ''}" if epochs else ""
    reason = _too_wide(outcome, test) and f"{_too_wide(outcome, test)} ({worst})"
    return Finding(test.file, outcome, what + note, measured, reason)


def _cell(value: object, test: TableTest) -> float:
    if isinstance(value, list):
        if test.exit is None or test.exit > len(value):
            raise Untold(f"{test.file}.json has {len(value)} exits, and the claim is of exit {test.exit}")
        value = value[test.exit - 1]
    if not isinstance(value, int | float):
        raise Untold(f"{test.file}.json has {value!r} where a number is needed")
    return float(value)


def _shares(test: SharesTest, evidence: Evidence) -> Finding:
    rows = evidence.rows(test.file)
    exits = [key for key in (rows[0] if rows else {}) if key.startswith("exit_")]
    if len(rows) < 2 or len(exits) < 2:
        raise Untold(f"{test.file}.csv has {len(rows)} budgets and {len(exits)} exits: two of each are needed")
    ends = [[row[key] or 0.0 for key in exits] for row in (rows[0], rows[-1])]
    moved = ends[1][0] < ends[0][0] and ends[1][-1] > ends[0][-1] and max(ends[0]) == ends[0][0]
    said = [", ".join(f"{100 * share:.1f}" for share in row) for row in ends]
    measured = f"shares of the exits (%) {said[0]} at the lowest budget, {said[1]} at the highest"
    return Finding(test.file, "reproduced" if moved else "not reproduced", f"{len(rows)} budgets", measured)


def _skips(test: SkipsTest, evidence: Evidence) -> Finding:
    rows = evidence.rows(test.file)
    columns = {name: [row.get(name) for row in rows] for name in ("depth", "heads", "tokens")}
    ratios = {name: [ratio for ratio in column if ratio is not None] for name, column in columns.items()}
    if len(rows) < 2 or not all(ratios.values()):
        raise Untold(f"{test.file}.csv must have two blocks or more, and a ratio of depth, heads and tokens")
    if test.says == "tokens most":
        means = {name: 100 * statistics.fmean(own) for name, own in ratios.items()}
        holds = means["tokens"] == max(means.values())
        measured = "skipped on average over blocks: " + ", ".join(f"{n} {mean:.1f} %" for n, mean in means.items())
    else:
        halves = {name: (own[: len(own) // 2], own[len(own) // 2 :]) for name, own in ratios.items()}
        holds = all(statistics.fmean(deep) > statistics.fmean(early) for early, deep in halves.values() if early)
        measured = "first half of the blocks, then the second: " + ", ".join(
            f"{name} {100 * statistics.fmean(early):.1f}, {100 * statistics.fmean(deep):.1f} %"
            for name, (early, deep) in halves.items()
            if early
        )
    return Finding(test.file, "reproduced" if holds else "not reproduced", f"{len(rows)} blocks", measured)


def _of(test: AccuracyTest | RobustTest, place: str, what: str, found: Difference) -> Finding:
    outcome = decided(found.low, found.high, test)
    return Finding(place, outcome, what, f"{found} points", _too_wide(outcome, test))


def _too_wide(outcome: Outcome, test: AccuracyTest | RobustTest | SpeedTest | TableTest) -> str:
    if outcome != "not testable here":
        return ""
    bound = test.at_least if not test.within else f"{test.at_least} less {test.within}"
    return f"the interval holds the bound {bound}: more images, seeds or rounds would tell"


def _points(board: Board, entry: Entry, against: Entry) -> str:
    return f"{_named(board, entry)} against {_named(board, against)}"


def _named(board: Board, entry: Entry) -> str:
    """Method, id, point, cost and accuracy."""
    short = short_ids(each.record_id for each in board.entries)[entry.record_id]
    share = 100 * entry.gmacs_mean / board.setting.dense_gmacs
    point = " ".join(f"{entry.method} {point_names(board)[entry.record_id]}".split())
    return f"{point} (`{short}`, {share:.1f} % of dense, {entry.top1_pct:.2f} %)"


def of_all(claims: tuple[Claim, ...], evidence: Evidence) -> list[Verdict]:
    """Every verdict, the unpleasant ones first, else in the order of the file."""
    found = [judge(claim, evidence) for claim in claims]
    return sorted((replace(one) for one in found), key=lambda verdict: OUTCOMES.index(verdict.outcome))
