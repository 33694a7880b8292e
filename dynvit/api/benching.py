"""A bench from names to a board."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynvit.benchmark.config import load_config
from dynvit.benchmark.folder import fresh_folder
from dynvit.benchmark.identity import folder_of
from dynvit.benchmark.run import Bench
from dynvit.leaderboard.board import Leaderboard
from dynvit.plain import without_password
from dynvit.processes import fit_threads
from dynvit.progress import counted
from dynvit.report import Board
from dynvit.session import open_session


def plan_bench(
    suite: str | None, given: Mapping[str, Any], *, fresh: bool = False, command: str | None = None
) -> Bench:
    """Check everything; nothing is written.

    Args:
        suite: a YAML file of options.
        given: a bench's options, which win over those of the suite.
        fresh: into a new folder beside the old one.
        command: what the records say made them; default: the command line.

    Raises: ``InputError`` for whatever is wrong.
    """
    config = load_config(suite, given)
    if fresh:
        config = config.model_copy(update={"output": str(fresh_folder(folder_of(config, open_session(config))))})
    return Bench.plan(config, command or command_line())


def run_bench(bench: Bench) -> Board | None:
    """Run to the end, or continue what was begun. None in every process but the first."""
    from accelerate import PartialState

    fit_threads(bench.session.dense_macs)
    board = bench.run()
    return board if PartialState().is_main_process else None


def plan_lines(bench: Bench) -> Iterator[str]:
    """What a run would do, for people; a few steps of each training are run, to say how long it takes."""
    config, preparation = bench.config, bench.preparation
    together = f", {config.search_batch} at a time" if config.search_batch > 1 else ""
    how = (
        f"{len(config.budgets) or config.points} budgets"
        if config.sampler == "budgets"
        else f"{config.trials} trials of {config.sampler} on calibration{together}"
    )
    source = bench.source
    yield f"{source.spec.name} {config.split}: {len(source):,} images, manifest {source.manifest.sha256[:12]}"
    yield f"{preparation.backbone.name}: {_weights(bench)}"
    for planned in preparation.planned:
        yield f"  {planned.label}: {planned.source}"
    for _, training in preparation.forecasts():
        yield from training.lines()
    yield f"sweep: {how}; counting rule {config.rule}"
    if config.storage is not None:
        yield f"studies: {without_password(config.storage)}"
    for measurement in bench.measurements:
        yield from measurement.measurer.plan(bench.session, source)
    yield f"output: {bench.folder}"


def closing(board: Leaderboard, folder: Path) -> str:
    """What came out, and where it lies."""
    share = f"{100 * board.hypervolume_share:.1f} %"
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
    return f"{counted(len(board.entries), 'point')}, hypervolume {share} of the possible; in {folder}: {files}"


def command_line() -> str:
    """The command as a person would type it again, without the paths of this machine's interpreter."""
    program = Path(sys.argv[0]).name
    words = ["dynvit", *sys.argv[1:]] if program in ("dynvit", "__main__.py") else [program, *sys.argv[1:]]
    return shlex.join(map(without_password, words))


def _weights(bench: Bench) -> str:
    if bench.preparation.trains_backbone:
        start = f", from {bench.config.weights}" if bench.config.weights else ", from scratch"
        return f"trained on {bench.session.dataset.name}{start}"
    return f"weights {bench.config.weights}" if bench.config.weights else "weights from the checkpoints"
