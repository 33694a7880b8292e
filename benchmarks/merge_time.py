"""How long the merge of a large board takes: 2,000 entries over 10,000 images, and one run of 50 more.

python benchmarks/merge_time.py [--entries 2000] [--images 10000]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import Row, report, run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "leaderboard"))
from conftest import measured  # records as the tests make them

from dynvit.leaderboard.lines import text_of
from dynvit.leaderboard.per_sample import PerSampleResults, images_hash, pack
from dynvit.report.merging import merge

METHODS, ROUNDS = 10, 3


def make(folder: Path, entries: int, images: int, begin: int) -> Path:
    """The folder of a run, whose points start at a number."""
    folder.mkdir()
    random, names = np.random.default_rng(begin), images_hash(map(str, range(images)))
    records, kept = [], []
    for number in range(begin, begin + entries):
        bits = random.random(images) < 0.6 + 0.3 * random.random()
        name, keep = f"method{number % METHODS}", 0.3 + 0.6 * number / 4000
        record = measured(name, round(2.0 * keep, 9), int(bits.sum()), n=images, dense=2.0, knobs={"keep_ratio": keep})
        records.append(text_of(record))
        kept.append(text_of(PerSampleResults(record_id=record.record_id, n=images, images=names, right=pack(bits))))
    (folder / "runs.jsonl").write_bytes(b"\n".join([*records, b""]))
    (folder / "per_sample.jsonl").write_bytes(b"\n".join([*kept, b""]))
    return folder


def main(entries: int = 2000, images: int = 10_000, most_s: float = 2.0) -> None:
    """Time merges into a board, in this process, imports apart: the fastest of three, for others share the machine."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        board = place / "board.json"
        merge([make(place / "all", entries, images, 0)], board)
        times = []
        for once in range(ROUNDS):
            more = make(place / f"more-{once}", 50, images, entries + 50 * once)
            start = time.perf_counter()
            merged = merge([more], board)
            times.append(time.perf_counter() - start)
        took = min(times)
    rows = [Row("merge of 50 more", f"{took:.2f} s", f"under {most_s:g} s", took < most_s)]
    rows.append(Row("entries", f"{len(merged.board.entries):,}", f"{entries + 50 * ROUNDS:,}"))
    report(f"a board of {entries:,} entries, {images:,} images", rows)


if __name__ == "__main__":
    run(main)
