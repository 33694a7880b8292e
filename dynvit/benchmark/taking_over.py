"""Lines that other parts have measured, taken over into a part's folder as they stand there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from dynvit.benchmark.run import Bench
from dynvit.files import write_together
from dynvit.leaderboard.per_sample import PER_SAMPLE
from dynvit.leaderboard.store import RUNS


def take_over(bench: Bench, known: Sequence[Path], folder: Path) -> None:
    """Add what is known in other folders and not in this one: records, and what a search looks at beside them."""
    searched = [store.path.name for one in bench.measurements if one.searchable for store in one.stores(folder)]
    contents = {folder / name: _joined(folder / name, known) for name in (*searched, PER_SAMPLE, RUNS)}
    write_together({path: text for path, text in contents.items() if text})


def leave_nothing(folder: Path) -> None:
    """Say that a part which had nothing to measure was done, by an empty file of records."""
    (folder / RUNS).touch()


def _joined(file: Path, known: Sequence[Path]) -> bytes:
    """The file with the lines that it lacks; nothing where it lacks none."""
    there = list(_lines(file))
    names = {_name(line) for line in there}
    more: dict[str, bytes] = {}
    for folder in known:
        for line in _lines(folder / file.name):
            if (name := _name(line)) not in names:
                more.setdefault(name, line)
    return b"".join([*there, *more.values()]) if more else b""


def _lines(file: Path) -> Iterator[bytes]:
    """The whole lines of a file; without what a kill left of one."""
    whole = file.read_bytes() if file.is_file() else b""
    yield from whole[: whole.rfind(b"\n") + 1].splitlines(keepends=True)


def _name(line: bytes) -> str:
    """What names the measurement of a line."""
    there = json.loads(line)
    return str(there.get("key") or there.get("record_id"))
