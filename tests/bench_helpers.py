"""Running the bench in tests, and comparing what it recorded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynvit.api.benching import plan_bench
from dynvit.api.benching import run_bench as run_planned
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.speed import interleaved

# Small, and yet every part runs: a backbone trained from scratch, a method trained on it, four arms, three budgets.
SMALL: dict[str, Any] = {"methods": ("dense", "random", "topk", "dynamicvit"), "epochs": 2, "points": 3, "limit": 60}


def run_bench(suite: str | None, options: dict[str, Any], *, fresh: bool = False) -> None:
    """As the command line does it, without its table."""
    run_planned(plan_bench(suite, options, fresh=fresh))


def bench(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """Run to the end; what was recorded, by record id."""
    run_bench(None, {**SMALL, "output": str(folder), **options})
    return recorded(folder)


@contextlib.contextmanager
def every_round_valid() -> Iterator[None]:
    """On a busy machine no round of a speed measurement may be valid, and what is tested is not the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interleaved, "VALID_WITHIN", math.inf)
        yield


def records(folder: Path) -> list[Record]:
    """The records in the order of their measurement."""
    return RunStore(folder / "runs.jsonl").read()


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Records by id, without what may differ between two runs of one measurement: when, where and how long."""
    fleeting: dict[str, Any] = dict.fromkeys(("date_utc", "wall_s", "command", "environment", "git_sha"), True)
    fleeting["training"] = {"wall_s"}
    return {record.record_id: record.model_dump(mode="json", exclude=fleeting) for record in records(folder)}


def bench_in_process(folder: str, log: str, options: dict[str, Any]) -> None:
    """What a child process runs: one thread, for a killed pool of threads may not be forked again; no terminal."""
    import torch

    torch.set_num_threads(1)
    with open(log, "a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        run_bench(None, {**options, "output": folder})
