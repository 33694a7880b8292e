"""What a bench is asked to do: from flags, a YAML file, and each data set's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from dynvit.errors import InputError, unknown
from dynvit.measurements.asked import all_flags, check_flags, joined, take_settings
from dynvit.reading import read_yaml
from dynvit.registry import load_plugin
from dynvit.request import DATA, MODEL, TRAINING, SessionRequest
from dynvit.settings import Flag, Settings, flags_of, setting, validated
from dynvit.training.request import RunOptions, TrainingOptions, batch_size_setting
from dynvit.units import Solve

TRAINED = "train"
"""The folder of a bench's trainings, in its own. Each knows its own request: some may have been made before."""

BUDGETS, OUTPUT = "Budgets", "Output"


class BenchConfig(SessionRequest, TrainingOptions, RunOptions):
    """The options of ``dynvit bench``; the same names in a suite's YAML. ``measurements`` are by name.

    Units: ``budgets`` in GMACs per image; ``targets`` as fractions of the dense backbone's MACs; ``memory_mb`` and
    ``disk_mb`` MiB of decoded pixels a process.
    """

    methods: tuple[str, ...] = setting(
        None, help="Methods to compare. Default: those that --dry-run lists", metavar="NAME,NAME", panel=MODEL
    )
    train: bool | None = setting(
        None, help="Train first what needs training, and every method that has a recipe.", panel=TRAINING
    )
    targets: tuple[float, ...] = setting(
        (), help="Train one checkpoint for each target, a fraction of dense MACs.", metavar="F,F", panel=TRAINING
    )
    seeds: tuple[int, ...] = setting(
        (),
        help="Train every model once for each seed; all but the first are measured for accuracy alone. Default: --seed",
        metavar="N,N",
        panel=TRAINING,
    )
    train_batch_size: int | None = batch_size_setting()
    mixed_precision: Literal["no", "fp16", "bf16"] = setting(
        "no", help="Precision of training: no, fp16 or bf16. Default: no", metavar="TYPE", panel=TRAINING
    )
    points: int = setting(8, help="Number of budgets. Default: 8", metavar="N", panel=BUDGETS, ge=1, le=10_000)
    budgets: tuple[float, ...] = setting(
        (), help="The budgets themselves, GMACs an image.", metavar="G,G", panel=BUDGETS
    )
    sampler: Literal["budgets", "nsga2", "tpe"] = setting(
        "budgets",
        help="budgets: solve each on calibration; or search the knobs there: nsga2, tpe. Default: budgets",
        metavar="NAME",
        panel=BUDGETS,
    )
    solve: Solve = setting(
        "cost",
        help="Set a model to a budget by its cost alone, or, where several knobs leave a choice, by accuracy on "
        "calibration. Default: cost",
        metavar="cost|accuracy",
        panel=BUDGETS,
    )
    trials: int = setting(32, help="Trials of a search, for each model. Default: 32", metavar="N", panel=BUDGETS, ge=1)
    search_batch: int = setting(
        1,
        help="Trials of a search that are proposed together: with --launcher each is a cell. Default: 1",
        metavar="N",
        panel=BUDGETS,
        ge=1,
    )
    storage: str | None = setting(
        None,
        help="Copy the studies of a search there, for optuna-dashboard: postgresql://USER@HOST/DATABASE, "
        "sqlite:///FILE or journal:FILE.",
        metavar="URL",
        panel=BUDGETS,
    )
    batch_size: int = setting(64, help="Images a batch. Default: 64", metavar="N", panel=DATA, ge=1)
    workers: int = setting(0, help="Processes that decode. Default: 0", metavar="N", panel=DATA, ge=0, le=1024)
    memory_mb: int = setting(
        4096, help="Decoded pixels that are kept for the next points, MiB. Default: 4096", metavar="N", panel=DATA, ge=0
    )
    disk_mb: int = setting(
        16384,
        help="Decoded pixels that do not fit in memory and are kept on disk for the next points, MiB. Default: 16384",
        metavar="N",
        panel=DATA,
        ge=0,
    )
    output: str | None = setting(
        None, help="Output folder. Default: runs/DATASET-BACKBONE", metavar="DIR", panel=OUTPUT
    )
    plugin: tuple[str, ...] = setting(
        (), help="A file with a method, measurement, attack or data set. Repeatable.", metavar="FILE", panel=OUTPUT
    )
    measurements: Mapping[str, Settings] = {}

    @field_validator("methods", mode="before")
    @classmethod
    def _own(cls, methods: Any) -> Any:
        if methods is None:
            from dynvit.interface import own_methods

            return own_methods()
        if not methods:
            raise ValueError("must name a method, got none")
        return tuple(dict.fromkeys(methods))

    @field_validator("targets")
    @classmethod
    def _fractions(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        for target in targets:
            if not 0 < target <= 1:
                raise ValueError(f"must be fractions of the dense backbone's MACs, in (0, 1], got {target:g}")
        return tuple(dict.fromkeys(targets))

    @field_validator("seeds")
    @classmethod
    def _whole(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        for seed in seeds:
            if not 0 <= seed < 2**63:
                raise ValueError(f"must be whole numbers from 0 to 2^63 - 1, got {seed}")
        return tuple(dict.fromkeys(seeds))

    @field_validator("budgets")
    @classmethod
    def _positive(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        for budget in budgets:
            if not 0 < budget < float("inf"):
                raise ValueError(f"must be GMACs an image, above 0, got {budget:g}")
        return tuple(dict.fromkeys(budgets))

    @field_validator("sampler", mode="before")
    @classmethod
    def _as_it_was_called(cls, sampler: Any) -> Any:
        return "budgets" if sampler == "ladder" else sampler


UNNAMED: Mapping[str, Any] = {"division": "fine-tuned", "targets": (0.6,)}
"""How models are trained where nobody names any, and nothing about their training: all alike."""
_NAMES_MODELS = {
    *("methods", "method_checkpoint", "options", "option", "train", "targets", "seeds", "train_batch_size"),
    *("dataset", "backbone", "weights", "image_size", *TrainingOptions.model_fields),
}


def bench_flags() -> list[Flag]:
    """The flags that are not a measurement's."""
    return list(flags_of(BenchConfig))


def load_config(file: str | None, given: Mapping[str, Any]) -> BenchConfig:
    """The options of a YAML file, overridden by those that are given, under the same names.

    Raises: ``InputError`` for a file that is none, an option that does not exist, or a value out of range.
    """
    suite, told = read_suite(file) if file else {}, {name: v for name, v in given.items() if v is not None}
    flags = bench_flags()
    by_name = {flag.name: flag for flag in flags} | {"options": next(f for f in flags if f.name == "option")}
    for plugin in by_name["plugin"].read({**suite, **told}.get("plugin") or ()):
        if not isinstance(plugin, str | PathLike):
            raise InputError(f"--plugin must be the path of a file, got {plugin!r}")
        load_plugin(plugin)
    check_flags(by_name.keys())
    values = joined(suite, told)
    known = {*by_name, *(flag.name for own in all_flags().values() for flag in own), *all_flags()}
    for name in values:
        if name not in known:
            raise unknown("option", name, known)
    if not values.keys() & _NAMES_MODELS:
        values |= UNNAMED
    measured = take_settings(values)
    read = {by_name[name].field: by_name[name].read(value) for name, value in values.items() if value is not None}
    config = validated(BenchConfig, {"methods": None, **read, "measurements": measured}, flags)
    if given.get("weights") is None and given.get("method_checkpoint") and config.all_have_checkpoints(config.methods):
        return config.model_copy(update={"weights": None})  # a suite's were for what had no checkpoint there
    return config


def read_suite(file: str) -> dict[str, Any]:
    """The options of a YAML file, by the names of their flags. Raises: ``InputError`` for a file that is none."""
    if not Path(file).exists():
        raise InputError(f"no suite {file!r}: -C takes the path of a YAML file")
    content = read_yaml(file, "suite")
    if not isinstance(content, dict):
        raise InputError(f"suite {file!r} holds no options: it is a mapping of bench's options, points: 8 for one")
    values: dict[str, Any] = {}
    for written, value in content.items():
        name = str(written).replace("-", "_")
        if name in values or (name == "options" and "option" in values) or (name == "option" and "options" in values):
            raise InputError(f"suite {file!r} gives {written!r} twice, by two spellings of its name: give it once")
        values[name] = value
    return values
