"""A bench called from Python: methods by name, models by hand, a board back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dynvit.api.benching import plan_bench, run_bench
from dynvit.api.listing import Pattern, load_plugins, matching, published
from dynvit.api.model import Model
from dynvit.api.training import threads_kept
from dynvit.benchmark.config import bench_flags, read_suite
from dynvit.benchmark.folder import MODELS
from dynvit.errors import InputError, unknown
from dynvit.interface import methods as registered
from dynvit.options import option_texts
from dynvit.processes import launched, process_state
from dynvit.reading import path_given
from dynvit.report import Board, build_board, read_run
from dynvit.session import checkpoint_facts

Named = str | os.PathLike[str] | Model
"""What one of the compared is given as."""


def bench(
    methods: Named | Iterable[Named] | None = None,
    dataset: str | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    suite: str | os.PathLike[str] | None = None,
    plugin: Pattern = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Board:
    """Compare methods at the same budgets. A finished or a stopped bench in ``output`` is continued, never repeated.

    Args:
        methods: names or patterns of methods, folders of ``dynvit train``, published checkpoints, or models; default:
            those of dynvit's own that say so (``Method.by_default``). A model is swept like the others: the point that
            ``at`` gave it is not looked at. Where some have no weights of their own, and neither the call nor the suite
            names any, they get those that a model among them was made from.
        dataset: default: the models' own, else digits.
        output: the folder for records, pictures and what is trained; default: a temporary one, gone when this returns.
        suite: a YAML file of options; those that are given here win.
        plugin: files with methods, measurements, attacks and data sets, to load first.
        options: of methods, by method: ``{"topk": {"stages": 2}}``.
        settings: those of ``dynvit bench`` under their names: ``points=4``, ``epochs=1``, ``limit=1000``, …;
            ``method_checkpoint`` adds to what ``methods`` name. A measurement by its name, True or a mapping of its
            settings: ``speed=True``, ``robustness={"attacks": ["pgd"], "limit": 64}``.

    Raises: ``InputError`` for whatever is wrong, before anything is trained or measured.
    """
    load_plugins(plugin)
    suite = None if suite is None else path_given(suite, "suite")
    if output is None and launched() > 1:
        raise InputError("several processes share one folder: give output")
    with ExitStack() as until_done:
        if output is None:
            output = until_done.enter_context(TemporaryDirectory(prefix="dynvit-"))
        values = {**settings, "dataset": dataset, "output": path_given(output, "output")}
        named = None if methods is None else _each(methods)
        if named is not None:
            known = {} if suite is None else read_suite(suite)
            known |= {name: value for name, value in values.items() if value is not None}
            values |= _Compared.of(named, Path(output), str(known.get("device") or "auto")).values(known)
        if options:
            if not isinstance(options, Mapping):
                raise InputError(f'options must be by method, {{"topk": {{"stages": 2}}}} for one, got {options!r}')
            values["options"] = {name: option_texts(own, f"options of {name}") for name, own in options.items()}
        until_done.enter_context(threads_kept())
        planned = plan_bench(suite, values, command=_said(named or (), values))
        board = run_bench(planned)
        return build_board(read_run(planned.folder), command=planned.command) if board is None else board


@dataclass
class _Compared:
    """What is compared: the methods, their checkpoints, and what the models say of the backbone."""

    names: list[str] = field(default_factory=list)
    checkpoints: dict[str, tuple[str, ...]] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)

    @classmethod
    def of(cls, given: Sequence[Named], output: Path, device: str) -> _Compared:
        found = cls()
        for number, one in enumerate(given, 1):
            if isinstance(one, Model):
                found.models.append(one)
                found.add(one.method, _folder_of(one, output / MODELS / f"{one.method}-{number}", device))
            else:
                for name, checkpoint in _resolved(os.fspath(one)):
                    found.add(name, checkpoint)
        return found

    def add(self, name: str, checkpoint: str | None) -> None:
        if name not in self.names:
            self.names.append(name)
        if checkpoint is not None:
            self.checkpoints[name] = (*self.checkpoints.get(name, ()), checkpoint)

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a bench that come of it, beside those that are given by hand, here or in the suite."""
        found: dict[str, Any] = {"methods": tuple(self.names)}
        checkpoints = self._joined(given.get("method_checkpoint"))
        if self.checkpoints:
            found["method_checkpoint"] = checkpoints
        for model in self.models[:1]:
            found["backbone"] = given.get("backbone") or model.backbone
        alone = isinstance(checkpoints, Mapping) and any(name not in checkpoints for name in self.names)
        if given.get("weights") is None and alone:
            found["weights"] = next(filter(None, map(_weights_of, self.models)), None)
        return found

    def _joined(self, given: Any) -> Any:
        """The checkpoints with those that are given; what is none stays as it is given, and is refused with the rest of
        the options.
        """
        [flag] = [flag for flag in bench_flags() if flag.name == "method_checkpoint"]
        others = {} if given is None else flag.read(given)
        if not isinstance(others, Mapping) or not all(isinstance(paths, list | tuple) for paths in others.values()):
            return given
        names = dict.fromkeys([*self.checkpoints, *others])
        return {name: (*self.checkpoints.get(name, ()), *others.get(name, ())) for name in names}


def _each(given: Any) -> list[Named]:
    """What is compared, one by one. Raises: ``InputError`` for what is neither a name nor a model, and for a method
    that is named alone beside a model of it: a bench has a method's checkpoints, or the method without one.
    """
    each = [given] if isinstance(given, str | os.PathLike | Model) or not isinstance(given, Iterable) else list(given)
    for one in each:
        if not isinstance(one, str | os.PathLike | Model):
            raise InputError(f"methods must be names or models, got {type(one).__name__}")
    resolved = [
        found for one in each for found in ([(one.method, "")] if isinstance(one, Model) else _resolved(os.fspath(one)))
    ]
    trained = {name for name, checkpoint in resolved if checkpoint is not None}
    for name, checkpoint in resolved:
        if checkpoint is None and name in trained:
            raise InputError(
                f"a method must be benched with checkpoints or without one, got {name!r} and a model of it: give "
                f"dynvit.load({name!r}, weights=…) in place of the name, or leave one of them out"
            )
    return each


def _folder_of(model: Model, new: Path, device: str) -> str:
    """Where the model lies, or is saved to. ``device`` is the bench's: of several processes the first one saves."""
    if model.path is not None and (Path(model.path).exists() or model.path in published()):
        return model.path
    if launched() == 1:
        return str(model.save(new))
    state = process_state(device)
    if state.is_main_process:  # the others read it
        model.save(new)
    state.wait_for_everyone()
    return str(new)


def _resolved(name: str) -> Iterator[tuple[str, str | None]]:
    """Methods, and where their trained parts are."""
    if Path(name).is_dir() and name not in registered.names():
        yield checkpoint_facts(name).method.name, name
    elif name in (known := published()):
        yield known[name], name
    else:
        found = matching(registered.names(), name)
        if not found:
            raise unknown("method", name, registered.names())
        yield from ((one, None) for one in found)


def _weights_of(model: Model) -> str | None:
    """The backbone's weights that a model was made from, where they are still there."""
    config = model.opened.config
    weights = model.session.backbone.weights if config is None else config.backbone.weights
    return weights if weights is not None and (weights.startswith("hf://") or Path(weights).exists()) else None


def _said(methods: Sequence[Named], values: Mapping[str, Any]) -> str:
    """The call, for records: without the folders of this machine."""
    names = [one.method if isinstance(one, Model) else Path(one).name for one in methods]
    left_out = {"output", "methods", "method_checkpoint", "weights", "backbone", "options", "data_dir", "storage"}
    shown = {name: value for name, value in values.items() if name not in left_out and value is not None}
    return f"dynvit.bench({', '.join([repr(names), *(f'{name}={value!r}' for name, value in shown.items())])})"
