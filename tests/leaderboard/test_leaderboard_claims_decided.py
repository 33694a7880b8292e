"""What decides a claim: one outcome an interval, the first seed, enough rounds, the pair of these very two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_helpers import DENSE, N, Project, accuracy, claim
from dynvit.leaderboard.paired import Paired
from dynvit.leaderboard.record import Record
from dynvit.report import RunData, build_board
from dynvit.report.claims import Evidence, judge
from dynvit.report.claims.claim import AccuracyTest
from dynvit.report.claims.differences import of_entries
from dynvit.report.claims.outcome import decided
from timing_helpers import timing


def bounded(bound: float, within: float) -> AccuracyTest:
    of = accuracy({"method": "m", "share": 1.0}, at_least=bound, within=within).test
    assert isinstance(of, AccuracyTest)
    return of


@given(st.floats(-9, 9), st.floats(0, 9), st.floats(-9, 9), st.floats(0, 3))
def test_an_interval_has_one_outcome(low: float, width: float, bound: float, within: float) -> None:
    outcome, because = decided(low, low + width, bounded(bound, within))
    assert (outcome == "reproduced") == (low >= bound - within)
    assert (outcome == "not reproduced") == (low < bound - within and low + width < bound)
    assert (outcome == "inconclusive") == bool(because)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.49, 0.20, "reproduced"),
        (-0.30, -0.01, "reproduced"),
        (-0.60, -0.01, "not reproduced"),
        (-0.60, 0.20, "inconclusive"),
    ],
)
def test_an_interval_within_what_a_claim_allows_is_no_failure(low: float, high: float, outcome: str) -> None:
    assert decided(low, high, bounded(0.0, 0.5))[0] == outcome


@pytest.mark.parametrize("division", ["off-the-shelf", "fine-tuned"])
def test_the_first_seed_is_that_of_a_backbone_too(
    tmp_path: Path, measure: Callable[..., Record], division: str
) -> None:
    """A method without a training has the seed of the backbone that the bench trained."""
    project = Project(tmp_path, measure)
    for seed, right in enumerate((650, 690)):
        project.add("dense", 1.0, 700, seed=seed, division=division)
        project.add("topk", 0.8, right, seed=seed, division=division)
    [finding] = project.verdict(accuracy({"method": "topk", "share": 0.8})).findings
    assert "80.0 % of dense, 65.00 %" in finding.what


@pytest.mark.parametrize(("rounds", "outcome"), [(1, "not testable here"), (4, "not testable here"), (5, "reproduced")])
def test_few_rounds_decide_nothing(tmp_path: Path, measure: Callable[..., Record], rounds: int, outcome: str) -> None:
    record = measure("dvt", 0.6 * DENSE, n=N, dense=DENSE, correct=700)
    (tmp_path / "leaderboards").mkdir()
    board = build_board(RunData([record], {"speed": {record.record_id: [timing(64, 1.5, rounds_valid=rounds)]}}))
    board.write(tmp_path / "leaderboards" / "b.json")
    of = claim(kind="speed", boards=["b"], entry={"method": "dvt", "share": 0.6}, at_least=1.3)
    [finding] = judge(of, Evidence(tmp_path)).findings
    assert finding.outcome == outcome
    assert (finding.because == f"its timing is of {rounds} valid rounds, and 5 decide") == (rounds < 5)


def test_what_a_board_has_paired_is_taken_for_these_two_alone(tmp_path: Path, measure: Callable[..., Record]) -> None:
    """``against_dense`` is of the dense model of the row's seed, and says nothing of another."""
    records = [measure("dense", DENSE, right, n=N, dense=DENSE, knobs={}, seed=s) for s, right in ((0, 700), (1, 730))]
    board = build_board(RunData([*records, measure("dvt", 0.8 * DENSE, 710, n=N, dense=DENSE, seed=1)]))
    found = {(entry.method, entry.seed): entry for entry in board.entries}

    def how(points: float, dense_seed: int) -> str:
        pair = Paired(
            n=N, gained=5, lost=5, difference_points=points, ci95_low_points=-3, ci95_high_points=3, p_value=0.5
        )
        entry = found["dvt", 1].model_copy(update={"against_dense": pair})
        difference = of_entries(entry, found["dense", dense_seed], board, Evidence(tmp_path), "b")
        return difference.how.split(",")[0]

    assert (how(-2.0, 1), how(-2.0, 0)) == ("paired", "unpaired")
    assert how(1.0, 1) == "unpaired", "of another dense model, as older boards had it"
