"""What ``dynvit speed`` does and says: one method, at a few points, against its dense backbone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dynvit import checkpoint
from dynvit.backbones.build import build
from dynvit.backbones.dense import dense_macs
from dynvit.bench.command import command_line
from dynvit.bench.config import BenchConfig, load_config
from dynvit.bench.points import LadderPlan
from dynvit.bench.prepare import Planned, Preparation
from dynvit.bench.run import Bench
from dynvit.data import open_split
from dynvit.errors import InputError
from dynvit.explain.trained import parse_point
from dynvit.interface import OperatingPoint, methods
from dynvit.leaderboard.record import SpeedRecord
from dynvit.measurements.speed.measure import SpeedMeter, check_speed, device_model, up_to
from dynvit.measurements.speed.summary import break_even, conditions
from dynvit.measurements.speed.table import curve_table
from dynvit.measurements.speed.timing import expected_images
from dynvit.options import options_to_json, parse_options
from dynvit.processes import find_device, fit_threads
from dynvit.progress import Progress
from dynvit.session.open_model import OpenModel
from dynvit.training.run import backbone_for


@dataclass(frozen=True)
class SpeedRequest:
    """What is asked. Units: ``budgets`` GMACs an image."""

    method: str
    checkpoint: str | None
    dataset: str | None
    data_dir: str | None
    split: str
    backbone: str | None
    weights: str | None
    image_size: int | None
    options: Sequence[str]
    knobs: Sequence[str]
    budgets: Sequence[float]
    points: int
    batches: Sequence[float]
    rounds: int
    dtype: str
    compile: bool
    threads: int | None
    calibration: int | None
    device: str
    seed: int
    output: Path | None


def run_speed(request: SpeedRequest) -> None:
    """Time the points, print a table of each, write a line of JSON for each batch size.

    Raises: ``InputError`` for whatever is wrong, before anything is timed.
    """
    config = _config(request)
    device = find_device(request.device)
    check_speed(config.speed_settings, device)
    _check_output(request.output)
    bench = _bench(request, config)
    [arm] = bench.preparation.arms(bench.folder, bench.command)
    if request.threads is None:
        fit_threads(bench.dense_macs)
    else:
        torch.set_num_threads(request.threads)
    arm.model.eval().to(device)
    points = _points(request, bench, arm, device)
    meter = SpeedMeter(
        source=bench.source,
        settings=replace(config.speed_settings, seed=request.seed),
        backbone=build(replace(bench.preparation.backbone, weights=None)),
        dense_macs=bench.dense_macs,
        rule=config.rule,
        device=device,
        device_name=device_model(device),
    )
    console = Console(highlight=False)
    for point in points:
        found = _timed(request, meter, arm, point)
        if found:
            console.print(curve_table(_title(arm, point, config, found[0]), found))
            console.print(_said(found), markup=False)


def _config(request: SpeedRequest) -> BenchConfig:
    """The request as a bench of one method: the same checks, the same words for what is wrong."""
    if request.knobs and request.budgets:
        raise InputError("--knob and --budgets both name operating points: give one of the two")
    if request.threads is not None and request.threads < 1:
        raise InputError(f"--threads {request.threads}: 1 or more run a model")
    known = _known(request)
    given: dict[str, Any] = {
        "methods": (request.method,),
        "dataset": request.dataset or (known.dataset if known else None),
        "data_dir": request.data_dir,
        "split": request.split,
        "calibration": request.calibration,
        "backbone": request.backbone or (known.backbone.name if known else None),
        "weights": request.weights,
        "image_size": request.image_size or (known.backbone_info.image_size[0] if known else None),
        "method_checkpoint": {request.method: (request.checkpoint,)} if request.checkpoint else None,
        "options": {request.method: tuple(request.options)} if request.options else None,
        "train": False,
        "points": request.points,
        "budgets": tuple(request.budgets),
        "speed": True,
        "speed_batches": tuple(request.batches),
        "speed_rounds": request.rounds,
        "speed_dtype": request.dtype,
        "compile": request.compile,
        # The held-out split is drawn as in its training, or thresholds would be solved on images that it has seen.
        "seed": known.training.seed if known else request.seed,
    }
    return load_config(None, {name: value for name, value in given.items() if value is not None})


def _known(request: SpeedRequest) -> checkpoint.CheckpointConfig | None:
    """What a folder of ours says of itself."""
    folder = request.checkpoint and Path(request.checkpoint)
    return checkpoint.read_config(folder) if folder and folder.is_dir() else None


def _bench(request: SpeedRequest, config: BenchConfig) -> Bench:
    kind = methods.get(request.method)
    method, options = kind(), parse_options(kind.Options, request.options)
    source = open_split(
        config.dataset, config.split, data_dir=config.data_dir, seed=config.seed, calibration=config.calibration
    )
    if request.checkpoint is None and kind.adaptive_cost and (kind.needs_training or request.weights is None):
        raise InputError(
            f"method {request.method!r} decides by what it has learned how much an image costs: give --checkpoint, or "
            "--weights where it needs no training"
        )
    backbone = backbone_for(config.backbone_name, source.spec, config.weights, config.image_size, seed=config.seed)
    planned = Planned(request.method, request.method, method, options, "", checkpoint=request.checkpoint)
    preparation = Preparation(config, source.spec, backbone, (planned,), trains_backbone=False)
    if request.checkpoint is not None:
        preparation.check_checkpoint(planned, request.checkpoint)
    dense = dense_macs(build(replace(backbone, weights=None)), config.rule)
    return Bench(config, command_line(), config.folder, source, preparation, dense)


def _points(request: SpeedRequest, bench: Bench, arm: OpenModel, device: torch.device) -> list[OperatingPoint]:
    if request.knobs:
        return [parse_point(arm.knobs, request.knobs)]
    targets = LadderPlan(bench.config, device).points([arm])[arm.label]
    return list(dict.fromkeys(target.point for target in targets))


def _timed(request: SpeedRequest, meter: SpeedMeter, arm: OpenModel, point: OperatingPoint) -> list[SpeedRecord]:
    sizes = sorted(set(meter.settings.batches))
    found = []
    total = sum(expected_images(size, meter.settings.rounds) for size in sizes)
    with Progress(f"{arm.label} {_knobs(point)}", total) as progress:
        for timing in meter.timings(arm, point, lambda size: True, up_to(total, progress)):
            found.append(meter.record(timing))
            if request.output is not None:
                _write(request.output, arm, point, found[-1])
    return found


def _write(path: Path, arm: OpenModel, point: OperatingPoint, timing: SpeedRecord) -> None:
    line = {
        "method": arm.name,
        "options": options_to_json(arm.options),
        "backbone": arm.backbone.name,
        "checkpoint_sha256": arm.checkpoint and arm.checkpoint.sha256,
        "knobs": dict(point),
        "speed": timing.model_dump(mode="json"),
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")


def _check_output(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"--output {str(path)!r} is a folder: lines of JSON go into a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output {str(path)!r}: there is no folder {str(path.parent)!r}; make it first")


def _title(arm: OpenModel, point: OperatingPoint, config: BenchConfig, timing: SpeedRecord) -> str:
    return (
        f"{arm.label} {_knobs(point)} on {arm.backbone.name} · {config.dataset} {config.split} · {conditions(timing)} "
        f"against {timing.dense_execution_mode}"
    )


def _said(found: Sequence[SpeedRecord]) -> str:
    first = break_even(found)
    return (
        "at no batch faster than dense in every quiet round"
        if first is None
        else f"faster than dense from batch {first}"
    )


def _knobs(point: OperatingPoint) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items())
