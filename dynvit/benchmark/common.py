"""The budgets of all models of a bench, found once and kept in its folder: each part of it measures at the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from dynvit.benchmark.choosing import budgets_of
from dynvit.benchmark.run import Bench
from dynvit.benchmark.trained import trained
from dynvit.benchmark.waiting import told
from dynvit.errors import InputError
from dynvit.files import locked, write_whole
from dynvit.measurements.run import Run
from dynvit.reading import read_json

FOLDER, FILE = "budgets", "budgets.json"


def common_budgets(bench: Bench, run: Run) -> Sequence[float] | None:
    """The budgets of every model, from the bench's folder, or found and kept there; None where they are named.

    Units: MACs an image. What is kept holds for the trainings that lie there, and for no other.
    """
    if not bench.shares_budgets:
        return None
    folder = bench.folder / FOLDER
    held = locked(folder, math.inf, told("the budgets in", folder)) if run.first else nullcontext()
    with held:
        run.state.wait_for_everyone()
        models = bench.preparation.models(bench.folder, bench.command) if known_budgets(bench) is None else []
        for opened in models:
            opened.model.eval().to(run.device)
        found = budgets_of(bench.config, bench.session).found(models) if models else known_budgets(bench)
        if models and run.first:
            _write(bench, found or [])
        run.state.wait_for_everyone()
    return found


def known_budgets(bench: Bench) -> list[float] | None:
    """Those that are kept in the bench's folder, and hold. Raises: ``InputError`` for a file that holds none."""
    file: Path = bench.folder / FOLDER / FILE
    if not file.is_file():
        return None
    there = read_json(file)
    if not isinstance(there, dict) or not isinstance(there.get("macs"), list):
        raise InputError(f"{file} holds no budgets: take it away, and they are found again")
    return (
        [float(macs) for macs in there["macs"]]
        if there.get("trained") == trained(bench.folder, bench.preparation)
        else None
    )


def _write(bench: Bench, macs: Sequence[float]) -> None:
    body = {"trained": trained(bench.folder, bench.preparation), "macs": list(macs)}
    write_whole(bench.folder / FOLDER / FILE, (json.dumps(body, indent=1) + "\n").encode())
