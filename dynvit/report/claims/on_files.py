"""Claims tested on a result file: rows of a table, exit shares, skip ratios."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from dynvit.report.claims.claim import SharesTest, SkipsTest, TableTest
from dynvit.report.claims.differences import Difference, of_shares
from dynvit.report.claims.evidence import AbsentError, Evidence, UntoldError
from dynvit.report.claims.outcome import OUTCOMES, Finding, decided

_SAME_COST, _NEAR = 0.01, 0.05
_DIMENSIONS = ("depth", "heads", "tokens")


def table(test: TableTest, evidence: Evidence) -> Finding:
    """A row less each of others; the least favourable decides. Raises: ``AbsentError``, ``UntoldError``."""
    body = evidence.table(test.file)
    rows = {str(row.get("name", row.get("reuse"))): row for row in body.rows}
    for name in (test.row, *test.against):
        if name not in rows or rows[name].get(test.value) is None:
            raise AbsentError(f"{test.file}.json has no {test.value} of row {name!r}")
    n = body.validation_images if test.value == "top1_pct" else body.attacked_images
    if n is None:
        raise AbsentError(f"{test.file}.json does not say of how many images its {test.value} is")
    costs = {name: _number(rows[name].get("gmacs"), test) for name in (test.row, *test.against)}
    _check_costs(test, costs)
    own = _percent(rows[test.row][test.value], test)
    found = {name: _less(own, _percent(rows[name][test.value], test), n) for name in test.against}
    decisions = [decided(one.low, one.high, test) for one in found.values()]
    outcome, because = min(decisions, key=lambda decision: OUTCOMES.index(decision[0]))
    at = "" if test.exit is None else f", exit {test.exit}"
    what = f"{test.row} {own:.2f} % at {costs[test.row]:.4f} GMACs{at}{_trained(body.training)}"
    return Finding(test.file, outcome, what, "; ".join(f"against {name} {one}" for name, one in found.items()), because)


def shares(test: SharesTest, evidence: Evidence) -> Finding:
    """Whether images go on with the budget. Raises: ``AbsentError``, ``UntoldError``."""
    rows = evidence.rows(test.file)
    exits = [key for key in (rows[0] if rows else {}) if key.startswith("exit_")]
    if len(rows) < 2 or len(exits) < 2:
        raise UntoldError(f"{test.file}.csv has {len(rows)} budgets and {len(exits)} exits: two of each are needed")
    low, high = ([row[key] or 0.0 for key in exits] for row in (rows[0], rows[-1]))
    moved = low[0] == max(low) and high[0] < low[0] and high[-1] > low[-1]
    said = (", ".join(f"{100 * share:.1f}" for share in row) for row in (low, high))
    measured = "shares of the exits (%) {} at the lowest budget, {} at the highest".format(*said)
    return Finding(test.file, "reproduced" if moved else "not reproduced", f"{len(rows)} budgets", measured)


def skips(test: SkipsTest, evidence: Evidence) -> Finding:
    """Which dimension is skipped most, or where. Raises: ``AbsentError``, ``UntoldError``."""
    rows = evidence.rows(test.file)
    ratios = {name: [100 * ratio for row in rows if (ratio := row.get(name)) is not None] for name in _DIMENSIONS}
    if any(len(own) < 2 for own in ratios.values()):
        raise UntoldError(f"{test.file}.csv must have the ratios of depth, heads and tokens in two blocks or more")
    if test.says == "tokens most":
        means = {name: statistics.fmean(own) for name, own in ratios.items()}
        holds = means["depth"] < means["heads"] < means["tokens"]
        measured = "skipped on average: " + ", ".join(f"{name} {mean:.1f} %" for name, mean in means.items())
    else:
        halves = {name: _halves(own) for name, own in ratios.items()}
        holds = all(deep > shallow for shallow, deep in halves.values())
        said = (f"{name} {shallow:.1f} and {deep:.1f} %" for name, (shallow, deep) in halves.items())
        measured = "skipped in the first and the second half of the blocks: " + ", ".join(said)
    return Finding(test.file, "reproduced" if holds else "not reproduced", f"{len(rows)} blocks", measured)


def _check_costs(test: TableTest, costs: Mapping[str, float]) -> None:
    said = ", ".join(f"{name} {cost:.4f}" for name, cost in costs.items())
    if test.equal_cost and max(costs.values()) > (1 + _SAME_COST) * min(costs.values()):
        raise UntoldError(f"the costs of the rows are not within 1 % of each other ({said} GMACs)")
    if test.share is not None:
        share = costs[test.row] / costs[test.against[0]]
        if abs(share - test.share) > _NEAR:
            raise UntoldError(
                f"row {test.row} costs {100 * share:.1f} % of {test.against[0]} here, and the claim is of "
                f"{100 * test.share:.3g} %"
            )


def _less(own: float, other: float, n: int) -> Difference:
    return of_shares(round(own * n / 100), n, round(other * n / 100), n)


def _percent(value: object, test: TableTest) -> float:
    percent = _number(value, test)
    if not 0 <= percent <= 100:
        raise UntoldError(f"{test.file}.json has {percent:g} where a percentage is needed")
    return percent


def _number(value: object, test: TableTest) -> float:
    if isinstance(value, list):
        if test.exit is None or test.exit > len(value):
            raise UntoldError(f"{test.file}.json has {len(value)} exits, and the claim is of exit {test.exit}")
        value = value[test.exit - 1]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UntoldError(f"{test.file}.json has {value!r} where a number is needed")
    return float(value)


def _trained(training: Mapping[str, Any]) -> str:
    epochs = training.get("epochs")
    return "" if epochs is None else f"; one seed, {epochs} epoch{'' if epochs == 1 else 's'}"


def _halves(own: list[float]) -> tuple[float, float]:
    middle = len(own) // 2
    return statistics.fmean(own[:middle]), statistics.fmean(own[middle:])
