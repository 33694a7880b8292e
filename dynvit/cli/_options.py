"""Commands made from declarations: a setting is declared once, and every command that takes it has the same flag."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from dynvit.settings import Flag

Values = dict[str, Any]


def made(
    function: Callable[[Values], None], flags: Iterable[Flag], own: Mapping[str, Any], *, own_last: bool = False
) -> Callable[..., None]:
    """A function whose parameters are the command's ``own``, then one for each flag; typer makes a command of it.

    ``own`` are annotations as typer takes them, with their default. What is not given on the command line is left out
    of the values that ``function`` gets.
    """

    def command(**values: Any) -> None:
        function({name: value for name, value in values.items() if value is not None})

    mine = [_parameter(name, annotation, default) for name, (annotation, default) in own.items()]
    declared = {flag.name: flag for flag in reversed(list(flags)) if flag.name not in own}
    theirs = [_parameter(flag.name, _annotation(flag), None) for flag in reversed(declared.values())]
    parameters = [*theirs, *mine] if own_last else [*mine, *theirs]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__ = function.__name__
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    command.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return command


def given_flags(flags: Iterable[Flag], names: Iterable[str]) -> list[Flag]:
    """Those of the flags that a command takes, in the order of their names."""
    by_name = {flag.name: flag for flag in flags}
    return [by_name[name] for name in names]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _annotation(flag: Flag) -> Any:
    panel = flag.panel or None
    if flag.is_bool:
        words = f"{flag.flag}/--no-{flag.flag.removeprefix('--')}"
        return Annotated[bool | None, typer.Option(words, help=flag.help, rich_help_panel=panel)]
    short = {"output": "-o", "batch_size": "-b", "workers": "-j"}.get(flag.name)
    names = [flag.flag, short] if short else [flag.flag]
    option = typer.Option(*names, help=flag.help, metavar=flag.metavar or "TEXT", rich_help_panel=panel)
    repeated = flag.is_grouped or flag.name == "plugin"
    return Annotated[list[str] | None, option] if repeated else Annotated[str | None, option]
