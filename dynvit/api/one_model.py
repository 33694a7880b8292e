"""The options of a bench that has one model: what ``dynvit attack`` and ``dynvit speed`` are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynvit.benchmark.config import BenchConfig
from dynvit.errors import InputError
from dynvit.interface import methods
from dynvit.registry import load_plugin
from dynvit.session import OpenModel, Session, Wanted, check_weights_are_used, checkpoint_facts


def as_bench(given: Mapping[str, Any]) -> dict[str, Any]:
    """``method``, ``checkpoint`` and ``option`` as a bench has them; the rest as it is.

    Raises: ``InputError`` where neither a method nor a checkpoint that knows its own is given.
    """
    values = dict(given)
    plugins = values.get("plugin") or ()
    for file in [plugins] if isinstance(plugins, str) else plugins:
        load_plugin(file)
    name, checkpoint = values.pop("method", None), values.pop("checkpoint", None)
    options: Sequence[str] = values.pop("option", None) or ()
    if name is None:
        name = _method_of(checkpoint)
    values |= {"methods": (name,), "train": False}
    if checkpoint is not None:
        values["method_checkpoint"] = {name: (str(checkpoint),)}
    if options:
        values["options"] = {name: tuple(options)}
    return values


def _method_of(checkpoint: str | None) -> str:
    if checkpoint is None:
        raise InputError("name the model: --method NAME, or --checkpoint with a folder of dynvit train")
    if Path(checkpoint).is_dir():
        return checkpoint_facts(checkpoint).method.name
    for name, method in methods.load_all().items():
        if checkpoint in [published.name for published in method.published]:
            return name
    raise InputError(f"--checkpoint {checkpoint} does not tell its method: add --method NAME")


def open_only(config: BenchConfig, session: Session) -> OpenModel:
    """The only model of a bench. Raises: ``InputError`` for one whose costs mean nothing before it is trained."""
    check_weights_are_used(config, config.methods)
    [name] = config.methods
    [checkpoint] = config.method_checkpoint.get(name, (None,))
    wanted = Wanted.of(name, config.options.get(name, ()), checkpoint)
    kind = type(wanted.method)
    if checkpoint is None and kind.adaptive_cost and (kind.needs_training or config.weights is None):
        raise InputError(
            f"method {name!r} decides by what it has learned how much an image costs: give --checkpoint, or "
            "--weights where it needs no training"
        )
    if checkpoint is not None:
        session.check(wanted)
    return session.open(wanted)
