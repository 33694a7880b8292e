"""Progress with throughput and time left, on a terminal and in a log file alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from shutil import get_terminal_size
from types import TracebackType
from typing import TypeVar

from dynvit.plain import visible

T = TypeVar("T")


class Progress:
    """One task's progress on standard error: done of total, rate, time left.

    On a terminal it is a live bar; elsewhere a plain line at most every ``every`` seconds, so that a log
    of hours stays readable. ``quiet`` (every process but the first) shows nothing.

    ``before`` of the total were done when it began: they are shown, and tell nothing of the rate.

    Units: ``advance`` counts in ``unit`` (images, samples, points).
    """

    def __init__(
        self,
        task: str,
        total: int,
        *,
        unit: str = "images",
        quiet: bool = False,
        every: float = 15.0,
        before: int = 0,
    ) -> None:
        self.task, self.total, self.unit, self.every = task, total, unit, every
        self.done = self._before = before
        self.note = ""
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._start = self._shown = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Say that ``amount`` more units are done; ``note`` (a loss, say) is shown behind."""
        self.done += amount
        self.note = note or self.note
        now = time.monotonic()
        if not self._quiet and now - self._shown >= (0.2 if self._live else self.every):
            self._shown = now
            self._show(now)

    def _show(self, now: float) -> None:
        rate = (self.done - self._before) / max(now - self._start, 1e-9)
        line = f"{self.task}: {self.done}/{self.total} {self.unit}"
        if rate:
            line += f", {per_time(rate)}, {clock(max(self.total - self.done, 0) / rate)} left"
        if self.note:
            line += f", {self.note}"
        line, end = visible(line), "\n"
        if self._live:  # a line that wraps could not be written over
            line, end = line[: get_terminal_size().columns - 1], ""
        sys.stderr.write(("\r\x1b[K" if self._live else "") + line + end)
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "point"), counted(1200, "point")
    ('1 point', '1,200 points')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def per_time(rate: float) -> str:
    """A rate, given by the second, by the longest time in which it says something.

    >>> per_time(309.52), per_time(0.02), per_time(0.0008)
    ('309.5/s', '1.2/min', '2.9/h')
    """
    for seconds, name in ((1, "s"), (60, "min")):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f}/{name}"
    return f"{rate * 3600:.1f}/h"


def clock(seconds: float) -> str:
    """A duration as people read it.

    >>> clock(75), clock(4000)
    ('1:15', '1:06:40')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def track(items: Iterable[T], task: str, total: int, *, unit: str = "images", quiet: bool = False) -> Iterator[T]:
    """The items, one by one, with a ``Progress`` advanced after each."""
    with Progress(task, total, unit=unit, quiet=quiet) as progress:
        for item in items:
            yield item
            progress.advance()
