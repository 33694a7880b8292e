"""Images a second of a training on one process and on several, each with one thread, in alternation.

Several processes have a batch each, as on as many GPUs, or divide one. A step of a small batch is mostly a fixed cost,
which dividing it does not divide: the rate of one process at the divided batch says how far that can go.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from _measure import Row, report, run


def rate(folder: Path, processes: int, arguments: list[str]) -> float:
    """Images a second over the steps of the training's last epoch, all processes together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "dynvit"]
    command = [sys.executable, *(launcher if processes > 1 else ["-m", "dynvit"]), "train", *arguments]
    subprocess.run(
        [*command, "--output", str(folder)],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return float(json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["images_per_s"])


def main(
    method: str = "dvt",
    dataset: str = "digits",
    processes: int = 2,
    batch_size: int = 64,
    epochs: int = 2,
    rounds: int = 5,
) -> None:
    """Train, and tell the ratios of the rates."""
    arguments = [f"--method={method}", f"--dataset={dataset}", f"--epochs={epochs}"]
    tries = {  # processes, images a step
        "one": (1, batch_size),
        "divided": (processes, batch_size),
        "each": (processes, batch_size * processes),
        "piece": (1, batch_size // processes),
    }
    rates: dict[str, list[float]] = {name: [] for name in tries}
    for number in range(rounds):
        for name in tries if number % 2 == 0 else reversed(tries):
            count, batch = tries[name]
            with tempfile.TemporaryDirectory() as folder:
                rates[name].append(rate(Path(folder) / "run", count, [*arguments, f"--batch-size={batch}"]))
    wanted = 0.8 * processes
    rows = [Row(f"one process, steps of {batch_size}", f"{median(rates['one']):.0f} images/s")]
    for name, what in (("each", "each"), ("divided", "in all")):
        ratios = [several / one for one, several in zip(rates["one"], rates[name], strict=True)]
        said = f"{median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f})"
        reached = (f"≥ {wanted:g}", median(ratios) >= wanted) if name == "each" else ("", None)
        rows.append(Row(f"{processes} processes, steps of {batch_size} {what}", said, *reached))
    bound = processes * median(rates["piece"]) / median(rates["one"])
    rows.append(Row(f"one process, steps of {batch_size // processes}, times {processes}", f"{bound:.2f}×"))
    report(f"training {method} on {dataset}, one thread a process, {rounds} rounds", rows)


if __name__ == "__main__":
    run(main)
