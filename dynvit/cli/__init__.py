"""The command line: one file a sub-command, no logic. What is heavy is imported when a command runs."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import typer

from dynvit.cli import (
    attack,
    bench,
    check,
    cite,
    compare,
    data,
    explain,
    export,
    ls,
    merge,
    new,
    plan,
    show,
    site,
    speed,
    submit,
    train,
    verify,
)
from dynvit.errors import InputError, os_fault
from dynvit.plain import say, speak_any_encoding
from dynvit.plugin_faults import plugin_fault
from dynvit.plugin_faults import said as said_of
from dynvit.version import __version__

_BROKEN_PIPE = 141  # as a shell says of a program that SIGPIPE ended


def command_line(arguments: Sequence[str] = ()) -> typer.Typer:
    """The program. Flags that are declared elsewhere are read for the command alone that is called."""
    app = typer.Typer(
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        add_completion=False,
        pretty_exceptions_enable=False,
        help="The benchmark of dynamic vision transformers: accuracy against compute, behind one interface.",
        epilog="--debug, anywhere, shows the traceback of an error. DYNVIT_DATA is where data sets lie.",
    )
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    declared = {"bench": bench, "plan": plan, "train": train, "speed": speed, "attack": attack, "explain": explain}
    for name, module in declared.items():
        app.command(name)(module.command(arguments if called == name else None))
    for function in (
        new.new,
        check.check,
        show.show,
        show.validate,
        show.convert,
        compare.compare,
        merge.merge,
        submit.submit,
        verify.verify,
        site.site,
        cite.cite,
        export.export,
    ):
        app.command()(function)
    app.add_typer(data.app, name="data")
    app.add_typer(ls.app, name="ls")
    app.callback()(_dynvit)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


def _dynvit(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0, or 2 for wrong input, a file that cannot be used and a plug-in's fault, each said in one line on standard error.
    """
    warnings.showwarning = _warn
    speak_any_encoding()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        code = _run([argument for argument in given if argument != "--debug"])
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk or a closed pipe is met here, and not when Python ends
        return code
    except KeyboardInterrupt:
        return _say("stopped; the same command goes on from here", 130)
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):  # rich exits itself
            _silence()
            return _BROKEN_PIPE
        line = _line_for(error)
        if debug or line is None:
            raise
        if isinstance(error, OSError):
            _silence()  # what could not be written would be tried again when Python ends
        ended: int = getattr(error, "exit_code", 2)
        return _say(line, ended) if line else ended


def _run(arguments: Sequence[str]) -> int:
    """The command, with its exceptions as they are: typer's own way turns an interrupt and a closed pipe into codes."""
    command = typer.main.get_command(command_line(arguments))
    try:
        with command.make_context("dynvit", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def _line_of_parser(error: Any) -> str:
    """Its line, what is meant by an argument that is missing, and where to read on; empty after a help page."""
    said, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    meant = getattr(getattr(error, "param", None), "help", None) if said.startswith("Missing") else None
    meant = f" ({meant.rstrip('.')})" if meant else ""
    return f"error: {said}{meant}" + (f": see {context.command_path} --help" if context else "") if said else ""


def _line_for(error: BaseException) -> str | None:
    """The line for people; None for a fault of ours, whose traceback helps us."""
    if hasattr(error, "format_message"):  # the parser's own errors know their line
        return _line_of_parser(error)
    if isinstance(error, InputError):
        return f"error: {error}"
    if isinstance(error, typer.Abort):
        return "stopped"
    fault = plugin_fault(error)
    if fault is not None:
        return f"error: {fault}"
    if isinstance(error, OSError):
        return f"error: {os_fault(error)}"
    if isinstance(error, SystemExit):
        return f"error: {said_of(error)}; what was finished is kept, --debug shows the traceback"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "error: there is not enough memory: give a smaller --batch-size or --memory-mb and run the same command "
            "again: what was finished is kept"
        )
    return None


def _silence() -> None:
    """Let nothing be written to standard output any more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning is for people too: one line, and none of the libraries' talk to their developers."""
    if issubclass(category, UserWarning):
        say(f"dynvit: warning: {message}", err=True)


def _say(line: str, code: int) -> int:
    with contextlib.suppress(OSError):  # a closed standard error
        say(f"dynvit: {line}", err=True)
    return code
