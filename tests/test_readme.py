"""What the README states is what the published boards hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dynvit.cli import main
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.naming import point_names
from dynvit.measurements.corruption.measurement import Corruption
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.table import saving_lost
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.summary import shown, timing_at
from dynvit.report import read_board

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BOARD = read_board(ROOT / "leaderboards" / "cifar10.json")
ROW = re.compile(r"^\| (?P<name>[^|]+) \| `(?P<id>[0-9a-f]{8})` \| (?P<cells>.+) \|$", re.M)
EPS = 0.5 / 255  # of the column of accuracy under attack


def test_every_row_of_the_table_stands_in_the_board() -> None:
    entries, names = {entry.record_id[:8]: entry for entry in BOARD.entries}, point_names(BOARD)
    rows = ROW.findall(README)
    assert {name.split()[0] for name, *_ in rows} == {entry.method for entry in BOARD.entries}
    for name, record_id, cells in rows:
        entry = entries[record_id]
        assert name.split()[0] == entry.method
        assert name.split(maxsplit=1)[1] == names[entry.record_id]
        assert [cell.strip() for cell in cells.split("|")] == _cells(entry)


def test_the_readme_is_one_that_is_read_to_its_end() -> None:
    assert len(README.splitlines()) < 150
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_python_on_the_first_screen_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the bench above it, here with fewer epochs, in a folder that has what a clone has."""
    for name in ("docs", "leaderboards"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--methods", "dense,mia", "--epochs", "3"]) == 0
    [code] = re.findall(r"```python\n(import dynvit\n.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "served" / "model.safetensors").is_file()


def _cells(entry: Entry) -> list[str]:
    attacked, corrupted = (kind.of(BOARD).get(entry.record_id) for kind in (Robustness, Corruption))
    robust = [
        f"{ball.accuracy_pct:.1f}" for ball in (attacked.accuracy if attacked else ()) if ball.eps == pytest.approx(EPS)
    ]
    timings = Speed.of(BOARD)
    timed = shown(timings)
    timing = timing_at(timings[entry.record_id], *timed) if timed and entry.record_id in timings else None
    return [
        f"{entry.gmacs_mean:.4f}",
        f"{entry.saving_pct:.1f}",
        f"{entry.top1_pct:.2f} [{entry.top1_ci95_low_pct:.1f}, {entry.top1_ci95_high_pct:.1f}]",
        robust[0] if robust else "–",
        saving_lost(attacked.slowdown if attacked else (), keep_label=False),
        f"{corrupted.accuracy_pct:.1f}" if corrupted else "–",
        f"{timing.speedup:.2f}, {100 * timing.speedup_share:.0f} %"
        if timing and timing.speedup and timing.speedup_share
        else "–",
    ]
