"""One option is one declaration: wherever a command takes it, it has the same name, form, limits and error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from dynvit.benchmark.config import BenchConfig
from dynvit.cli import command_line, main
from dynvit.data.options import CheckSettings, PackSettings
from dynvit.errors import InputError
from dynvit.explain.request import ExplainSettings
from dynvit.measurements.base import measurements
from dynvit.request import SessionRequest
from dynvit.settings import Flag, Settings, flags_of, setting, validated
from dynvit.training.request import RunSettings, TrainRequest

COMMANDS = ("bench", "plan", "train", "speed", "attack", "explain", "check", "show", "validate", "convert", "compare")
# The same word for another thing, said in each command's help.
OF_ITS_OWN = {"--output", "--points", "--help", "--option", "--checkpoint", "--method", "--batch-size", "--recipe"}
MODELS: tuple[type[BaseModel], ...] = (SessionRequest, BenchConfig, TrainRequest, RunSettings, ExplainSettings)
WRONG = ("-1", "x", "nan", "inf", "1e999", "")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its parameters, those of groups too."""
    for name in (*COMMANDS, "data", "ls"):
        command: Any = typer.main.get_command(command_line([name]))
        command = command.commands[name]
        inner = getattr(command, "commands", {})
        yield from ((f"{name} {sub}", one) for sub, one in inner.items()) if inner else [(name, command)]


def test_an_option_has_one_form_in_every_command_that_takes_it() -> None:
    forms: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name, command in commands():
        for parameter in command.params:
            words = tuple(sorted(getattr(parameter, "opts", ())))
            for word in words:
                if word.startswith("--") and word not in OF_ITS_OWN:
                    form = (words, parameter.metavar, parameter.multiple, getattr(parameter, "is_flag", False))
                    forms.setdefault(word, {})[name] = form
    assert len(forms) > 50
    differ = {word: found for word, found in forms.items() if len(set(found.values())) > 1}
    assert differ == {}


def test_an_option_has_the_same_limits_wherever_it_is_declared() -> None:
    found: dict[str, set[str]] = {}
    for model in MODELS:
        for flag in flags_of(model):
            limits = model.model_fields[flag.field].metadata
            if flag.flag not in OF_ITS_OWN:
                found.setdefault(flag.flag, set()).add(f"{flag.kind} {limits}")
    differ = {flag: forms for flag, forms in found.items() if len(forms) > 1}
    assert differ == {}


def numbers() -> Iterator[tuple[type[BaseModel], Flag]]:
    """Every setting that is a number or a list of some."""
    kinds: list[type[BaseModel]] = [*MODELS, PackSettings, CheckSettings]
    kinds += [kind.Settings for kind in measurements.load_all().values()]
    for model in kinds:
        for flag in flags_of(model):
            if flag.kind in (int, float, tuple[int, ...], tuple[float, ...]):
                yield model, flag


@pytest.mark.parametrize(
    ("model", "flag"), list(numbers()), ids=lambda one: getattr(one, "flag", getattr(one, "__name__", ""))
)
def test_a_number_refuses_what_it_cannot_mean_by_its_flag(model: type[BaseModel], flag: Flag) -> None:
    for text in WRONG:
        if text == "-1" and flag.name == "device":
            continue
        with pytest.raises(InputError, match=f"^{flag.flag} "):
            validated(model, _needed(model) | {flag.field: flag.read(text)}, flags_of(model))
    with pytest.raises(InputError, match=f"^{flag.flag} must be"):
        flag.read(True)


def _needed(model: type[BaseModel]) -> dict[str, Any]:
    given: dict[str, Any] = {"method": "dense", "backbone": "vit_digits", "dataset": "digits", "attacks": ("pgd",)}
    given |= {"names": ("all",), "methods": ("dense",)}
    return {name: value for name, value in given.items() if name in model.model_fields}


class _Lists(Settings):
    names: tuple[str, ...] = setting((), help="", flag="--names", metavar="NAME,NAME")


@pytest.mark.parametrize("text", ["", ",", " , ,", "a,,b", "a,", ",a"])
def test_a_list_has_something_on_both_sides_of_a_comma(text: str) -> None:
    [flag] = flags_of(_Lists)
    with pytest.raises(InputError, match=r"^--names must"):
        flag.read(text)
    assert flag.read(" a, b") == ("a", "b")


def test_settings_are_declared_by_name_once() -> None:
    for model in MODELS:
        names = [flag.name for flag in flags_of(model)]
        assert len(names) == len(set(names)), model
        assert all(dataclasses.is_dataclass(flag) for flag in flags_of(model))


COMMON = {
    "bench": "bench --methods dense -o out",
    "train": "train --method dense --dataset digits --backbone vit_digits -o out",
    "speed": "speed --method topk",
    "attack": "attack pgd --method dense -o out",
    "explain": "explain --checkpoint out --dataset digits -o out",
}
SAME = (
    "--seed -1",
    "--seed 1.5",
    "--data-seed x",
    "--calibration 0",
    "--image-size 0",
    "--on-bad-sample skpi",
)


@pytest.mark.parametrize("wrong", SAME)
def test_every_command_refuses_it_in_the_same_words(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = set()
    for name, command in COMMON.items():
        flag = wrong.split()[0]
        words: Any = typer.main.get_command(command_line([name]))
        taken = [word for parameter in words.commands[name].params for word in getattr(parameter, "opts", ())]
        if flag in taken:
            assert main([*command.split(), *wrong.split()]) == 2
            said.add(capsys.readouterr().err)
    [line] = said
    assert line.count("\n") == 1
