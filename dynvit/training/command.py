"""What ``dynvit train`` does: words to a request, the request to a folder, the folder to a line of result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynvit.checkpoint import is_checkpoint
from dynvit.errors import InputError
from dynvit.interface import methods
from dynvit.options import options_to_json, parse_options
from dynvit.plain import say
from dynvit.processes import fit_threads
from dynvit.request import SessionRequest
from dynvit.session import checkpoint_facts, open_session
from dynvit.settings import flags_of, validated
from dynvit.training.folder import check_folder
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to


def run_train(given: Mapping[str, Any], command: str) -> Path:
    """Train into the folder ``output`` and say what came out. Returns the checkpoint's folder.

    ``given`` are the options of ``dynvit train``. What the weights' own training says of the data is adopted.
    Raises: ``InputError`` for wrong input, and for a folder with an unfinished training where ``resume`` is off.
    """
    values = dict(given)
    folder, resume = Path(values.pop("output")), bool(values.pop("resume", False))
    values.pop("plugin", None)
    method, asked = values.pop("method"), values.pop("option", None) or ()
    options = options_to_json(parse_options(methods.get(method).Options, asked))
    shared = {name: values.pop(name) for name in SessionRequest.model_fields if name in values}
    session = open_session(validated(SessionRequest, shared, flags_of(SessionRequest)))
    how = {name: values.pop(name) for name in RunSettings.model_fields if name in values}
    dataset, data_dir = session.place
    how |= {"data_dir": data_dir, "on_bad_sample": session.request.on_bad_sample, "command": command}
    settings = validated(RunSettings, how, flags_of(RunSettings))
    opened = session.request
    what = values | {
        "method": method,
        "options": options,
        "backbone": opened.backbone,
        "dataset": dataset,
        "weights": opened.weights,
        "image_size": opened.image_size,
        "seed": opened.seed,
        "data_seed": session.data_seed,
        "calibration": opened.calibration,
    }
    request = validated(TrainRequest, what, flags_of(TrainRequest))
    if check_folder(folder, request) and not is_checkpoint(folder) and not resume:
        raise InputError(f"{folder} holds this training, unfinished: give --resume to continue it")
    fit_threads(session.dense_macs)
    path = train_to(folder, request, settings)
    _report(path, session.dataset.folder)
    return path


def _report(path: Path, folder: str | None) -> None:
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    config = checkpoint_facts(path)
    assert config.training is not None
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in config.training.metrics.items())
    say(f"{config.method.name} on {config.dataset}, {config.training.epochs} epochs: {numbers}")
    named = "" if folder is None else f" --dataset {folder}"  # by its name alone it is found in few places
    say(f"checkpoint in {path}: dynvit bench --method-checkpoint {config.method.name}={path}{named}")
