"""What ``dynvit train`` does: words to a request, the request to a folder, the folder to a line of result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from dynvit.backbones.build import build
from dynvit.backbones.dense import dense_macs
from dynvit.checkpoint import is_checkpoint, read_config
from dynvit.data import datasets
from dynvit.errors import InputError
from dynvit.interface import methods
from dynvit.options import options_to_json, parse_options
from dynvit.processes import fit_threads
from dynvit.training.run import RunSettings, TrainRequest, backbone_for, check_folder, train_to


def run_train(
    output: str, request: Mapping[str, Any], settings: Mapping[str, Any], options: Iterable[str], *, resume: bool
) -> Path:
    """Train into ``output`` and say what came out. Returns the checkpoint's folder.

    Raises: ``InputError`` for wrong input, and for a folder with an unfinished training where ``resume`` is off.
    """
    kind = methods.get(str(request["method"]))
    try:
        asked = TrainRequest(**request, options=options_to_json(parse_options(kind.Options, options)))
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + ".".join(map(str, first["loc"])).replace("_", "-")
        raise InputError(f"{flag} {first['input']!r}: {first['msg']}") from error
    folder = Path(output)
    if check_folder(folder, asked) and not is_checkpoint(folder) and not resume:
        raise InputError(f"{folder} holds this training, unfinished: give --resume to continue it")
    plain = backbone_for(asked.backbone, datasets.get(asked.dataset), None, asked.image_size)
    fit_threads(dense_macs(build(plain)))
    path = train_to(folder, asked, RunSettings(**settings))
    _report(path)
    return path


def _report(path: Path) -> None:
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    config = read_config(path)
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in config.training.metrics.items())
    console = Console()
    console.print(f"[bold]{config.method.name}[/] on {config.dataset}, {config.training.epochs} epochs: {numbers}")
    console.print(f"checkpoint in {path}: dynvit bench --method-checkpoint {config.method.name}={path}")
