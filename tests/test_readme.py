"""What the README states is what the published boards hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynvit.leaderboard.board import Entry, read_board

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (\w+) \| (static|\w+=[\d.]+) \| ([\d.]+) \| (-?[\d.]+) \| ([\d.]+) \[([\d.]+), ([\d.]+)\] \|$", re.M
)


def test_every_row_of_the_table_stands_in_the_board() -> None:
    entries = {
        (entry.method, _knobs(entry)): entry for entry in read_board(ROOT / "leaderboards" / "cifar10.json").entries
    }
    rows = ROW.findall(README)
    assert len(rows) >= 8
    for method, knobs, gmacs, saved, top1, low, high in rows:
        entry = entries[method, knobs]
        stated = [float(number) for number in (gmacs, saved, top1, low, high)]
        held = [entry.gmacs_mean, entry.saving_pct, entry.top1_pct, entry.top1_ci95_low_pct, entry.top1_ci95_high_pct]
        assert stated == pytest.approx(held, abs=0.0501, rel=0.005)


def test_the_readme_is_one_that_is_read_to_its_end() -> None:
    assert len(README.splitlines()) < 150
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def _knobs(entry: Entry) -> str:
    return ",".join(f"{name}={value:g}" for name, value in entry.knobs.items()) or "static"
