"""How the program ends: full disks, closed pipes, interrupts and plug-ins' faults are one line, ours a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from dynvit import cli
from dynvit.plugin_faults import plugin_faults, said
from dynvit.registry import load_plugin

ROOT = Path(__file__).parents[1]


def ends_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The code of a command that raises it."""

    def made(arguments: Any) -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.command()
        def command() -> None:
            raise error

        return app

    monkeypatch.setattr(cli, "command_line", made)
    return cli.main([])


LINES = {
    "full": (OSError(errno.ENOSPC, "x", "runs/a"), 2, "no space is left"),
    "read-only": (OSError(errno.EROFS, "x", "runs/a"), 2, "read-only"),
    "forbidden": (PermissionError(errno.EACCES, "x", "runs/a"), 2, "permission is denied"),
    "too long": (OSError(errno.ENAMETOOLONG, "x", "runs/a"), 2, "too long"),
    "memory": (MemoryError(), 2, "--batch-size"),
    "interrupt": (KeyboardInterrupt(), 130, "goes on from here"),
    "exit": (SystemExit(0), 2, "sys.exit(0)"),
}


@pytest.mark.parametrize("name", LINES)
def test_what_a_person_can_mend_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error, code, words = LINES[name]
    monkeypatch.setattr(cli, "_silence", lambda: None)
    assert ends_with(error, monkeypatch) == code
    line = capfd.readouterr().err
    assert line.startswith("dynvit: ")
    assert words in line
    assert line.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError(), monkeypatch)


def test_a_closed_pipe_and_a_full_output_end_without_a_traceback(tmp_path: Path) -> None:
    board = ROOT / "leaderboards" / "cifar10.json"
    shown = f"{sys.executable} -m dynvit show {board}"
    done = subprocess.run(f"{shown} | true", shell=True, capture_output=True, text=True)
    assert done.stderr == ""
    if Path("/dev/full").exists():
        done = subprocess.run(f"{shown} > /dev/full", shell=True, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "no space is left" in done.stderr


PLUGIN = """
import sys

def fails():
    raise ValueError("two\\nlines")

def leaves():
    sys.exit(0)

class Odd(Exception):
    def __str__(self):
        raise RuntimeError

def odd():
    raise Odd

def calls(function):
    return function()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "mine.py:5 in fails: ValueError: two lines"),
        ("leaves", "mine.py:8 in leaves: it ended the program by sys.exit(0)"),
        ("odd", "mine.py:15 in odd: Odd"),
    ],
)
def test_a_plug_in_s_fault_leads_with_its_name_file_and_line(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    load_plugin(file)
    # Another test's mine.py may be loaded, and be the first of that name.
    module = next(one for one in sys.modules.values() if getattr(one, "__file__", None) == str(file))
    fault: Callable[[], None] = getattr(module, name)
    with pytest.raises(cli.InputError, match=r"^plug-in 'mine.py', "), plugin_faults():
        fault()

    def made(arguments: Any) -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(lambda: fault())
        return app

    monkeypatch.setattr(cli, "command_line", made)
    assert cli.main([]) == 2
    line = capsys.readouterr().err
    assert line.startswith("dynvit: error: plug-in 'mine.py', ")
    assert words in line
    assert line.count("\n") == 1
    del sys.modules[module.__name__]


def test_an_interrupt_and_our_own_fault_are_nobody_s_plug_in() -> None:
    for error in (KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)), plugin_faults():
            raise error


def test_an_exception_is_said_in_one_line_of_a_length_that_is_read() -> None:
    assert said(ValueError("a" * 9000)).endswith("…")
    assert said(ValueError()) == "ValueError"
