"""What ``dynvit train`` does: words to a request, the request to a folder, the folder to a line of result."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynvit.checkpoint import is_checkpoint
from dynvit.errors import InputError
from dynvit.interface import methods, own_methods
from dynvit.options import options_to_json, parse_options
from dynvit.plain import say
from dynvit.processes import fit_threads, process_state
from dynvit.registry import plugin_files
from dynvit.request import SessionRequest
from dynvit.session import Session, checkpoint_facts, open_session
from dynvit.settings import flags_of, validated
from dynvit.training.folder import check_folder
from dynvit.training.forecast import forecast
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to


@dataclass(frozen=True)
class Asked:
    """A training as the command line asks for it."""

    folder: Path
    resume: bool
    session: Session
    request: TrainRequest
    settings: RunSettings


def run_train(given: Mapping[str, Any], command: str) -> Path:
    """Train into the folder ``output`` and say what came out. Returns the checkpoint's folder.

    ``given`` are the options of ``dynvit train``. What the weights' own training says of the data is adopted.
    Raises: ``InputError`` for wrong input, and for a folder with an unfinished training where ``resume`` is off.
    """
    asked = _asked(given, command)
    folder, session = asked.folder, asked.session
    if check_folder(folder, asked.request) and not is_checkpoint(folder) and not asked.resume:
        raise InputError(f"{folder} holds this training, unfinished: give --resume to continue it")
    fit_threads(session.dense_macs)
    path = train_to(folder, asked.request, asked.settings)
    _report(path, session)
    return path


def forecast_train(given: Mapping[str, Any], command: str) -> Iterator[str]:
    """What ``run_train`` would do, in lines for people; nothing is written. Raises: as ``run_train``."""
    asked = _asked(given, command)
    there = check_folder(asked.folder, asked.request)
    fit_threads(asked.session.dense_macs)
    found = forecast(asked.request, asked.settings)
    if not process_state().is_main_process:
        return
    yield from found.lines()
    begun = "finished" if is_checkpoint(asked.folder) else "begun already"
    yield f"  output: {asked.folder}{f', {begun}' if there else ''}"


def _asked(given: Mapping[str, Any], command: str) -> Asked:
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
    return Asked(folder, resume, session, validated(TrainRequest, what, flags_of(TrainRequest)), settings)


def _report(path: Path, session: Session) -> None:
    if not process_state().is_main_process:
        return
    config = checkpoint_facts(path)
    assert config.training is not None
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in config.training.metrics.items())
    say(f"{config.method.name} on {config.dataset}, {config.training.epochs} epochs: {numbers}")
    say(f"checkpoint in {path}: {shlex.join(_bench_of(path, config.method.name, session))}")


def _bench_of(path: Path, name: str, session: Session) -> Iterator[str]:
    """The command that benches what was trained, with what it needs to find method and data again."""
    yield from ("dynvit", "bench")
    if name not in own_methods():  # what is not benched unless it is named
        yield from ("--methods", name)
    yield from ("--method-checkpoint", f"{name}={path}")
    _, data_dir = session.place
    if session.dataset.folder is not None:
        yield from ("--dataset", session.dataset.folder)
    elif data_dir is not None:
        yield from ("--data-dir", data_dir)
    for file in plugin_files():
        yield from ("--plugin", file)
