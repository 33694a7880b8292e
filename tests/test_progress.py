"""Progress: what it says of the rate and of the time left."""

from __future__ import annotations

import pytest

from dynvit import progress
from dynvit.progress import Progress


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_what_was_done_before_is_shown_and_tells_nothing_of_the_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("cells", 29, unit="cells", every=1, before=14) as shown:
        clock.now = 600
        shown.advance(2)
    assert capsys.readouterr().err == "cells: 16/29 cells, 12.0/h, 1:05:00 left\n"


def test_no_time_left_is_named_before_anything_is_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("cells", 29, unit="cells", every=1, before=14) as shown:
        clock.now = 60
        shown.advance(0, "2 submitted")
    assert capsys.readouterr().err == "cells: 14/29 cells, 2 submitted\n"
