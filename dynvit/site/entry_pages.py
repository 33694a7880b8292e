"""The page of each entry of a board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynvit.leaderboard.baseline import Baselines
from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.training import TrainingRecord
from dynvit.measurements.base import Measurement, measurements
from dynvit.site import chart, tiers
from dynvit.site.commands import commands_of, show_command
from dynvit.site.pages import page
from dynvit.site.pictures import pictures_of, right_and_wrong
from dynvit.site.readable import Block, readable
from dynvit.site.rows import Row, Sheet, file_name
from dynvit.site.source import Source


def entry_pages(source: Source, sheet: Sheet) -> Iterator[tuple[str, bytes]]:
    """File name and content of each, called by the id of its record."""
    entries, kinds = source.board.entries, measurements.load_all()
    baselines = Baselines.among_entries(entries)
    for place, (entry, row) in enumerate(zip(entries, sheet.rows, strict=False)):
        beside = [sheet.rows[near] if 0 <= near < len(entries) else None for near in (place - 1, place + 1)]
        values = _entry_values(source, sheet, entry, row, baselines.of(entry.seed))
        content = page("entry.html", **values, measured=_measured(entry, kinds), beside=beside)
        yield f"{file_name(entry.record_id)}.html", content


def _entry_values(source: Source, sheet: Sheet, entry: Entry, row: Row, dense: str | None) -> Mapping[str, Any]:
    evidence = source.evidence.per_sample.get(entry.record_id)
    record = source.evidence.records.get(entry.record_id)
    standing = source.standing(entry)
    pictures = list(pictures_of(entry.record_id, dense, sheet.axes))
    return {
        "root": "../../",
        "source": source,
        "board": source.board,
        "entry": entry,
        "row": row,
        "key_numbers": [(axis, row.readings[place]) for place, axis in sheet.columns if row.readings[place]],
        "commands": commands_of(source, entry),
        "show": show_command(source, entry),
        "training": _block("training", entry.training, TrainingRecord),
        "record": _block("record", record, Record),
        "own": readable("entry", entry.model_dump(mode="json", exclude=_TOLD_APART), Entry),
        "options": readable("options", entry.options),
        "knobs": readable("knobs", entry.knobs),
        "meaning": tiers.MEANING[row.tier],
        "again": standing.said if standing.again else "",
        "evidence": evidence,
        "right": None if evidence is None else int(evidence.bits().sum()),
        "evidence_picture": None if evidence is None else right_and_wrong(evidence),
        "pictures": pictures,
        "specs": {kind: _SPECS[kind] for kind in dict.fromkeys(picture.kind for picture in pictures)},
        "data": [{"kind": picture.kind, "rows": picture.rows} for picture in pictures],
    }


_SPECS: Mapping[str, Any] = {"curve": chart.curve(), "bars": chart.bars()}
_TOLD_APART = {"measurements", "options", "knobs", "training"}


def _measured(entry: Entry, kinds: Mapping[str, type[Measurement[Any, Any, Any]]]) -> Sequence[Block]:
    """What was measured besides, each by its summary's descriptions."""
    return [
        readable(name, summary, kinds[name].Summary if name in kinds else None)
        for name, summary in entry.measurements.items()
    ]


def _block(title: str, held: TrainingRecord | Record | None, kind: type[TrainingRecord] | type[Record]) -> Block | None:
    return None if held is None else readable(title, held.model_dump(mode="json"), kind)
