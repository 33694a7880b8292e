"""Train a model, and open it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dynvit.api.listing import Pattern, load_plugins
from dynvit.api.loading import load
from dynvit.api.model import Model
from dynvit.errors import InputError, unknown
from dynvit.options import option_texts
from dynvit.reading import path_given
from dynvit.request import SessionRequest
from dynvit.settings import flags_of
from dynvit.training.request import RunSettings, TrainRequest

_OF_MEASURING = ("split", "limit", "crop_pct", "interpolation", "rule")
"""Settings of a session that no training heeds."""


def train(
    method: str,
    output: str | os.PathLike[str],
    *,
    options: Mapping[str, Any] | None = None,
    resume: bool = True,
    plugin: Pattern = (),
    **settings: Any,
) -> Model:
    """Train a method on a data set into a folder, and open what came out.

    Args:
        method: its name; dense trains the backbone itself.
        output: the folder: checkpoint, log, state. A finished training is opened at once.
        options: of the method.
        resume: whether an unfinished training in the folder is continued; else it is an error.
        plugin: files with methods and data sets, to load first.
        settings: those of ``dynvit train`` under their names: ``dataset``, ``backbone``, ``epochs``, …

    Raises: ``InputError`` for whatever is wrong, before anything is trained.
    """
    from dynvit.training.command import run_train

    load_plugins(plugin)
    if not isinstance(method, str):
        raise InputError(f"method must be a name (list_methods), got {method!r}")
    known = {flag.name for kind in (SessionRequest, TrainRequest, RunSettings) for flag in flags_of(kind)}
    known -= {"method_checkpoint", "option", *_OF_MEASURING}
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)
    given = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in settings.items() if v is not None}
    said = ", ".join([f"{method!r}", *(f"{name}={value!r}" for name, value in given.items())])
    folder = path_given(output, "output")
    values = {**given, "method": method, "output": folder, "option": option_texts(options), "resume": resume}
    with threads_kept():
        trained = run_train(values, f"dynvit.train({said})")
    return load(trained)


@contextmanager
def threads_kept() -> Iterator[None]:
    """torch's number of threads as it was before: a command may fit it to its model, a call in a notebook may not."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
