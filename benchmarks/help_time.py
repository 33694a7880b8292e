"""How long ``dynvit --help`` takes against a bare typer program with as many commands, and what it imports.

python benchmarks/help_time.py [--rounds 15]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from _measure import Row, interleaved, report, rounds_row, run
from typer.main import get_command

from dynvit.cli import command_line

WANTED = 2.0
HEAVY = ("torch", "timm", "optuna")

BARE = '''"""A bare typer program."""
import typer

app = typer.Typer(help="Nothing but commands.")
{commands}
app()
'''
COMMAND = '''
@app.command()
def command_{number}() -> None:
    """Do nothing."""
'''

# What the console script does, and then which modules are there.
ASK = """
import contextlib, io, sys
from dynvit.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(*sorted(name for name in {heavy!r} if name in sys.modules))
"""


def bare_program(folder: Path, commands: int) -> Path:
    """A typer program with ``commands`` commands that do nothing."""
    file = folder / "bare.py"
    file.write_text(BARE.format(commands="".join(COMMAND.format(number=n) for n in range(commands))))
    return file


def imported() -> list[str]:
    """Which of the heavy packages ``dynvit --help`` imports."""
    asked = [sys.executable, "-c", ASK.format(heavy=HEAVY)]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()


def main(rounds: int = 15, most: int = 60) -> None:
    """Time until --rounds were valid, or --most were run."""
    call = partial(subprocess.run, check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        # The commands that the help lists, groups as one: a bare program with the sub-commands too would be slower.
        bare = bare_program(Path(folder), len(getattr(get_command(command_line()), "commands", ())))
        times = interleaved(
            partial(call, [sys.executable, str(bare), "--help"]),
            partial(call, [sys.executable, "-m", "dynvit", "--help"]),
            rounds=rounds,
            most=most,
        )
    longer, heavy = 1 / times.speedup, imported()
    report(
        "dynvit --help",
        [
            rounds_row(times, rounds),
            Row("heavy imports", ", ".join(heavy) or "none", "none", not heavy),
            Row("bare program, ms at best", f"{1000 * min(each.before for each in times.rounds):.0f}"),
            Row("time / bare program's", f"{longer:.2f}", f"≤ {WANTED:g}", longer <= WANTED),
        ],
    )


if __name__ == "__main__":
    run(main)
