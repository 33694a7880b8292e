"""What ``dynvit bench`` does and says."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dynvit.bench.config import BenchConfig, load_config
from dynvit.bench.folder import fresh_folder
from dynvit.bench.run import Bench
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.printing import print_board
from dynvit.measurements.robustness.table import radius
from dynvit.processes import fit_threads
from dynvit.registry import load_plugin


def run_bench(suite: str | None, flags: Mapping[str, Any], *, fresh: bool, dry_run: bool) -> None:
    """Check, then run or print the plan.

    Raises: ``InputError`` for whatever is wrong, before anything is written.
    """
    config = load_config(suite, flags)
    if fresh:
        config = config.model_copy(update={"output": str(fresh_folder(config.folder))})
    for file in config.plugin:
        load_plugin(file)
    console = Console(highlight=False)
    bench = Bench.plan(config, command_line())
    if dry_run:
        for line in plan_lines(bench):
            console.print(line, markup=False, soft_wrap=True)
        return
    from accelerate import PartialState

    fit_threads(bench.dense_macs)
    board = bench.run()
    if PartialState().is_main_process:
        print_board(board, console)
        console.print(_closing(board, bench.folder), markup=False, soft_wrap=True)


def plan_lines(bench: Bench) -> list[str]:
    """What a run would do, for people."""
    config, preparation = bench.config, bench.preparation
    how = (
        f"{len(config.budgets) or config.points} budgets"
        if config.sampler == "ladder"
        else f"{config.trials} trials of {config.sampler} on calibration"
    )
    lines = [
        f"{config.dataset} {config.split}: {len(bench.source):,} images, manifest {bench.source.manifest.sha256[:12]}",
        f"{preparation.backbone.name}: {_weights(bench)}",
        *(f"  {arm.label}: {arm.source}" for arm in preparation.planned),
        f"sweep: {how}; counting rule {config.rule}",
        *_attacks(bench),
        *_corruption_lines(bench),
        *_speed_lines(config),
        f"output: {bench.folder}",
    ]
    return lines


def _attacks(bench: Bench) -> list[str]:
    config = bench.config
    trials = config.attacks()
    if not trials:
        return []
    said = ", ".join(f"{trial.name} {radius(trial.threat.norm, trial.threat.eps)}" for trial in trials)
    points = config.robustness_points
    each = f"{points} point{'' if points == 1 else 's'} of each arm"
    checks = ", with checks for masked gradients" if config.masking_checks else ""
    return [
        f"robustness: {said}",
        f"  on {min(config.robustness_limit, len(bench.source)):,} images at {each}, in every variant{checks}",
    ]


def _speed_lines(config: BenchConfig) -> list[str]:
    if not config.speed:
        return []
    sizes = ", ".join(map(str, sorted(set(config.speed_batches))))
    compiled = ", compiled" if config.compile else ""
    return [
        f"speed: {config.speed_points} points of each, {config.speed_rounds} rounds at batch {sizes}, "
        f"{config.speed_dtype}{compiled}"
    ]


def _corruption_lines(bench: Bench) -> list[str]:
    if bench.corrupted is None:
        return []
    config = bench.config
    severities = ", ".join(map(str, config.severities))
    where = f"read from {config.corrupted_dir}" if config.corrupted_dir else "made in memory"
    return [
        f"corruptions: {len(config.corrupts)} at severity {severities}, {len(bench.corrupted.drawn):,} images, {where}"
    ]


def command_line() -> str:
    """The command as a person would type it again, without the paths of this machine's interpreter."""
    program = Path(sys.argv[0]).name
    words = ["dynvit", *sys.argv[1:]] if program in ("dynvit", "__main__.py") else [program, *sys.argv[1:]]
    return shlex.join(words)


def _weights(bench: Bench) -> str:
    if bench.preparation.trains_backbone:
        start = f", from {bench.config.weights}" if bench.config.weights else ", from scratch"
        return f"trained on {bench.config.dataset}{start}"
    return f"weights {bench.config.weights}" if bench.config.weights else "weights from the checkpoints"


def _closing(board: Leaderboard, folder: Path) -> str:
    share = f"{100 * board.hypervolume_share:.1f} %"
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
    return f"{len(board.entries)} points, hypervolume {share} of the possible; in {folder}: {files}"
