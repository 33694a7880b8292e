"""Terms of a board's rows (``dynvit.measurements.terms``): left out where all share them, told where boards join."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from dynvit.leaderboard.board import Entry
from dynvit.measurements import terms
from dynvit.measurements.base import measurements
from dynvit.measurements.terms import Termed

Said = Mapping[str, Termed]


def without_shared(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries of one board, which say a term only where it tells two of them apart."""
    [found] = _changed([entries], lambda boards: [terms.without_shared(board) for board in boards])
    return found


def told_apart(boards: Sequence[Sequence[Entry]]) -> list[tuple[Entry, ...]]:
    """The entries of boards that are joined: what one board's rows share, another's need not."""
    return _changed(boards, terms.told_apart)


def _changed(
    boards: Sequence[Sequence[Entry]], change: Callable[[Sequence[Said]], Sequence[Said]]
) -> list[tuple[Entry, ...]]:
    """The boards' entries with the terms of all summaries changed; what is not changed stays byte for byte."""
    found = [list(entries) for entries in boards]
    for name, kind in measurements.load_all().items():
        if not issubclass(kind.Summary, Termed):
            continue
        before = [
            {
                entry.record_id: kind.Summary.model_validate_json(json.dumps(entry.measurements[name]))
                for entry in entries
                if name in entry.measurements
            }
            for entries in found
        ]
        for entries, was, now in zip(found, before, change(before), strict=True):
            for place, entry in enumerate(entries):
                if entry.record_id in now and now[entry.record_id] != was[entry.record_id]:
                    said = entry.measurements | {name: now[entry.record_id].model_dump(mode="json")}
                    entries[place] = entry.model_copy(update={"measurements": said})
    return [tuple(entries) for entries in found]
