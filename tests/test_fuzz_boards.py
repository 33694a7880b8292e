"""A part of what ``benchmarks/fuzz_boards.py`` tries: changed boards and submissions; published numbers, edited."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fuzz_boards() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import fuzz_boards

        return fuzz_boards


def test_what_somebody_changed_is_merged_as_it_reads_or_refused_with_the_field(
    fuzz_boards: ModuleType, tmp_path: Path
) -> None:
    before = list(sys.path)
    outcomes = fuzz_boards.fuzz(fuzz_boards.make(tmp_path / "good"), tmp_path / "work", 60, seed=1)
    sys.path[:] = before
    assert outcomes.faults == []
    assert sum(outcomes.ended.values()) >= 60


@pytest.mark.slow
def test_every_edited_number_of_the_published_files_is_found(fuzz_boards: ModuleType, tmp_path: Path) -> None:
    assert fuzz_boards.edits(ROOT / "leaderboards", tmp_path / "edits", 200, seed=1) == []
