"""Several processes at one training: one trains, the others wait, or take it up where nobody does any more."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from dynvit.checkpoint import is_checkpoint
from dynvit.errors import InputError
from dynvit.files import HeldError, locked
from dynvit.plain import say
from dynvit.processes import launched


def train_or_wait(folder: Path, train: Callable[[], Path]) -> Path:
    """Train into ``folder``. Who trains there already is waited for; what a killed one left is taken up.

    Raises: as ``train``; where a launcher started several processes for one run, also where another run has the folder.
    """
    finished = False
    while True:
        try:
            return train()
        except HeldError:
            if launched() > 1:  # the others of this run would wait elsewhere
                raise
            with locked(folder, math.inf, told("the training in", folder)):
                pass
        except InputError:
            # Another process may have finished it meanwhile; what lies there then is taken, or refused for good.
            if finished or not is_checkpoint(folder) or launched() > 1:
                raise
            finished = True


def told(what: str, folder: Path) -> Callable[[HeldError], None]:
    """Says once that another process is waited for."""

    def tell(error: HeldError) -> None:
        holder = str(error).partition(" is writing ")[0]
        say(f"waiting for {what} {folder}: {holder} is at it", err=True)

    return tell
