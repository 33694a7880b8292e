"""The page of claims says of a result file what made it, and never that a command did which did not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from claims_helpers import Project, claim
from dynvit.leaderboard.record import Record
from dynvit.report.claims import Evidence, page
from dynvit.report.claims.claim import Claims

COMMAND = "python benchmarks/mia_tables.py dimensions --weights runs/start --target 0.85 --epochs 1 --attacked 1000"
ROWS = ({"name": "a", "gmacs": 1.0, "top1_pct": 90.0, "target": 0.85}, {"name": "b", "gmacs": 1.0, "top1_pct": 80.0})


@pytest.fixture
def project(tmp_path: Path, measure: Callable[..., Record]) -> Project:
    return Project(tmp_path, measure)


def said(project: Project) -> str:
    one = claim(kind="table", file="t", row="a", against=["b"])
    written = page(Claims(boards={}, results={"t": COMMAND}, claims=(one,)), Evidence(project.root))
    return " ".join(written.split("## The commands")[1].split())


def test_a_file_that_the_command_made_is_written_by_it(project: Project) -> None:
    project.table(*ROWS, training={"weights": "start", "epochs": 1}, attacked_images=1000)
    assert "[`t`](results/t.json) is written by: python benchmarks/mia_tables.py" in said(project)


def test_what_was_made_otherwise_is_named_flag_by_flag(project: Project) -> None:
    project.table({**ROWS[0], "target": 0.7}, ROWS[1], training={"weights": "dense", "epochs": 1})
    other = "was made with `--weights dense`, `--target 0.7`, no `--attacked`; as the claims need it, this would:"
    assert other in said(project)


def test_a_file_that_is_not_there_is_not_measured_yet(project: Project) -> None:
    assert "`t` is not measured yet; this would: python" in said(project)
