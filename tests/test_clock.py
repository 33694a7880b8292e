"""A clock that goes back, as one does that is set right in the middle of a run, changes dates and nothing else."""

from __future__ import annotations

import ast
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench_helpers import bench, records

from dynvit import cli
from dynvit.measurements import runner
from dynvit.measurements.accuracy import record

ROOT = Path(__file__).parents[1]
DATES = {
    "dynvit/api/verifying.py",
    "dynvit/measurements/accuracy/record.py",
    "dynvit/measurements/runner.py",
    "dynvit/data/space.py",  # orders by it, after the newest that it wrote itself
}


def asks_the_clock(file: Path) -> bool:
    """Whether a file reads the time of day, which a monotonic clock does not tell."""
    calls = [node.func for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    return bool(names & {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"})


def test_durations_locks_and_waiting_never_ask_what_time_it_is() -> None:
    files = [*(ROOT / "dynvit").rglob("*.py"), *(ROOT / "methods").rglob("*.py")]
    assert {str(file.relative_to(ROOT)) for file in files if asks_the_clock(file)} == DATES


def test_a_bench_under_a_clock_that_goes_back_is_whole_and_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = itertools.count()

    class Back(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2030, 1, 1, tzinfo=UTC) - timedelta(hours=next(hours))

    monkeypatch.setattr(record, "datetime", Back)
    monkeypatch.setattr(runner, "datetime", Back)
    folder = tmp_path / "out"
    small = {"methods": ("dense", "topk"), "epochs": 1, "limit": 20}
    first = bench(folder, **small)
    dates = [one.date_utc for one in records(folder)]
    assert len(dates) == len(first) == 4
    assert dates == sorted(dates, reverse=True)
    assert bench(folder, **small) == first
    assert [one.date_utc for one in records(folder)] == dates
    assert cli.main(["show", str(folder)]) == 0
