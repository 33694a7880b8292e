"""``dynvit new``: a method of your own begins as a file that works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynvit.plain import say


def new(
    method: Annotated[str, typer.Argument(help="Its name: a to z, 0 to 9 and _, as my_method.", metavar="METHOD")],
) -> None:
    """Write a method of your own into this folder, in one file that works, and a test that tries every law on it.

    METHOD.py drops tokens by a score of six lines, the part to begin with; test_METHOD.py is for pytest. Nothing is
    overwritten. The commands that check and bench it are printed.
    """
    from dynvit.authoring.write import write_method

    for path in write_method(method, Path.cwd()):
        say(f"wrote {path.name}")
    say("next:")
    say(f"  dynvit check {method} --plugin {method}.py")
    say(f"  pytest test_{method}.py")
    say(f"  dynvit bench --plugin {method}.py --methods dense,topk,{method} --dataset digits")
