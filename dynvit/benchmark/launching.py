"""All cells of a bench by a launcher: each when what it needs is done, and once more where it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from dynvit.benchmark.cells import Cell
from dynvit.launchers.launcher import Job, Launcher
from dynvit.plain import say
from dynvit.progress import Progress

TRIES = 2
SHOWN_EVERY = 60.0
"""Seconds between lines of progress, where cells take hours."""


@dataclass
class Launched:
    """The cells that are launched. ``failed`` says why, by name; ``left_out`` are those that needed one of them."""

    cells: Sequence[Cell]
    job: Callable[[Cell], Job]
    launcher: Launcher
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    _running: dict[Future[None], Cell] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """Cells that were not begun, because one that they need has failed."""
        return [cell.name for cell in self.cells if cell.name not in self.done and cell.name not in self.failed]

    def run(self) -> None:
        """Until every cell is done or cannot be."""
        with Progress("cells", len(self.cells), unit="cells", every=SHOWN_EVERY, before=len(self.done)) as progress:
            self._submit(self._ready())
            while self._running:
                ended, _ = wait(self._running, timeout=SHOWN_EVERY, return_when=FIRST_COMPLETED)
                again = [cell for future in ended if (cell := self._end(future)) is not None]
                self._submit([*again, *self._ready()])
                done = sum(future.exception() is None for future in ended)
                progress.advance(done, f"{len(self._running)} submitted")

    def _ready(self) -> list[Cell]:
        return [
            cell
            for cell in self.cells
            if cell.name not in self.done and cell.name not in self.tries and set(cell.needs) <= self.done
        ]

    def _submit(self, cells: Sequence[Cell]) -> None:
        if not cells:
            return
        for cell in cells:
            self.tries[cell.name] = self.tries.get(cell.name, 0) + 1
        futures = self.launcher.submit([self.job(cell) for cell in cells])
        self._running |= dict(zip(futures, cells, strict=True))

    def _end(self, future: Future[None]) -> Cell | None:
        """Take an ended cell in. Returns it where it is to be tried once more."""
        cell = self._running.pop(future)
        fault = future.exception()
        if fault is None:
            self.done.add(cell.name)
            return None
        why = " ".join(str(fault).split())[-500:] or type(fault).__name__
        if self.tries[cell.name] < TRIES:
            say(f"cell {cell.name} failed, and is tried once more: {why}", err=True)
            return cell
        say(f"cell {cell.name} failed again, and is left out: {why}", err=True)
        self.failed[cell.name] = why
        return None
