"""A part of what ``benchmarks/fuzz.py`` tries: damaged files for every reader, odd options for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each try is a forked process")
def test_no_traceback_no_hang_and_no_number_that_changed_without_a_word() -> None:
    words = [sys.executable, str(FUZZ), "--files", "96", "--options", "42", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "96 damaged files, 42 sets of options" in done.stdout
