"""How long ``dynvit show BOARD`` takes against ``dynvit --help``, and whether it imports torch.

python benchmarks/show_time.py [--rounds 15]
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from _measure import Row, interleaved, report, rounds_row, run

BOARD = Path(__file__).parents[1] / "leaderboards" / "cifar10.json"
WANTED = 2.0
ASK = """
import contextlib, io, sys
from dynvit.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["show", sys.argv[1]])
print("torch" in sys.modules)
"""


def main(rounds: int = 15, most: int = 60) -> None:
    """Time until --rounds were valid, or --most were run."""
    call = partial(subprocess.run, check=True, capture_output=True)
    times = interleaved(
        partial(call, [sys.executable, "-m", "dynvit", "--help"]),
        partial(call, [sys.executable, "-m", "dynvit", "show", str(BOARD)]),
        rounds=rounds,
        most=most,
    )
    asked = [sys.executable, "-c", ASK, str(BOARD)]
    torch = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == "True"
    longer = 1 / times.speedup
    report(
        "dynvit show",
        [
            rounds_row(times, rounds),
            Row("imports torch", "yes" if torch else "no", "no", not torch),
            Row("time / dynvit --help's", f"{longer:.2f}", f"≤ {WANTED:g}", longer <= WANTED),
        ],
    )


if __name__ == "__main__":
    run(main)
