"""The command line: one file a sub-command, no logic. What is heavy is imported when a command runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import typer

from dynvit.cli import attack, bench, check, compare, data, explain, ls, show, speed, train
from dynvit.errors import InputError
from dynvit.plain import say, speak_any_encoding
from dynvit.version import __version__


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
    for name, module in {"bench": bench, "train": train, "speed": speed, "attack": attack, "explain": explain}.items():
        app.command(name)(module.command(arguments if called == name else None))
    for function in (check.check, show.show, show.validate, show.convert, compare.compare):
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
    """Run the command line; returns the exit code: 0, or 2 for wrong input, said in one line on standard error."""
    warnings.showwarning = _warn
    speak_any_encoding()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        given = [argument for argument in given if argument != "--debug"]
        code = command_line(given)(given, standalone_mode=False)
    except KeyboardInterrupt:
        return _say("stopped; the same command goes on from here", 130)
    except InputError as error:
        if debug:
            raise
        return _say(f"error: {error}", 2)
    except Exception as error:
        # The parser's own errors know their line; anything else is our fault, and its traceback helps us.
        line = getattr(error, "format_message", None)
        if debug or line is None:
            raise
        return _say(f"error: {line()}" if line() else "stopped", getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


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
    say(f"dynvit: {line}", err=True)
    return code
