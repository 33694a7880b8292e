"""The page of a board, with the files that it offers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dynvit.leaderboard.axes import Axis
from dynvit.leaderboard.table import ranked_by_offer
from dynvit.measurements.base import measurements
from dynvit.report.listing import View, listing
from dynvit.report.pictures import write_pictures
from dynvit.report.printing import division_line
from dynvit.site import chart, tiers
from dynvit.site.data import FACETS, X, Y, page_data, place_of
from dynvit.site.entry_pages import entry_pages
from dynvit.site.glance import Glance, glance_at
from dynvit.site.pages import page
from dynvit.site.rows import Sheet, settings_of, sheet_of
from dynvit.site.source import Source

FIRST_ROWS = 100
"""Rows of a table that a script shows at once; all are in the page."""


def write_board(source: Source, folder: Path) -> Glance:
    """Write them, and those of the entries. Returns what the index shows of the board."""
    sheet = sheet_of(source)
    (folder / "entries").mkdir(parents=True)
    pictures = _write_downloads(source, sheet, folder)
    (folder / "index.html").write_bytes(board_page(source, sheet, pictures))
    for name, content in entry_pages(source, sheet):
        (folder / "entries" / name).write_bytes(content)
    entries = [row for row in sheet.rows if row.href]
    divisions, tiers_there = ([*dict.fromkeys(getattr(row, name) for row in entries)] for name in ("division", "tier"))
    return glance_at(source, divisions, tiers_there)


def board_page(source: Source, sheet: Sheet, pictures: Sequence[str] = ()) -> bytes:
    """The page of a board. ``pictures``: names of the SVG files beside it."""
    board = source.board
    x, y = (sheet.axes[place_of(sheet.axes, key)] for key in (X, Y))
    return page(
        "board.html",
        root="../",
        source=source,
        board=board,
        sheet=sheet,
        facets={facet: sheet.values(facet) for facet in FACETS},
        data=page_data(sheet),
        spec=chart.front(sheet.values("method"), x, y, legend=False),
        division=None if board.division is None else division_line(board),
        meanings=tiers.MEANING,
        pictures=pictures,
        first=FIRST_ROWS,
        notes=[line for kind in measurements.load_all().values() for line in kind.notes(board)],
        measured_methods=[method.name for method in board.methods],
        axis_groups=_groups(sheet.axes),
        offers=ranked_by_offer(board),
        settings_of=settings_of,
    )


def _write_downloads(source: Source, sheet: Sheet, folder: Path) -> list[str]:
    """The board, its entries as CSV, the chart's specification, evidence and pictures. Returns the pictures' names."""
    if source.file is None:
        source.board.model_copy(update={"paper": ()}).write(folder / "board.json")
    else:
        (folder / "board.json").write_bytes(source.file.read_bytes())
    (folder / "board.csv").write_text(listing(source.board, View("csv")) + "\n", encoding="utf-8", newline="")
    spec = json.dumps(chart.front_with_rows(sheet), indent=1, sort_keys=True)
    (folder / "front.vl.json").write_text(spec + "\n", encoding="utf-8")
    if source.evidence_file is not None:
        (folder / "per_sample.jsonl").write_bytes(source.evidence_file.read_bytes())
    written = write_pictures(source.board, folder, suffixes=("svg",))
    return [path.stem for path in written if path.suffix == ".svg"]


def _groups(axes: Sequence[Axis]) -> list[tuple[str, list[tuple[int, Axis]]]]:
    """The axes with their places, by group, as a menu has them."""
    names = dict.fromkeys(axis.group for axis in axes)
    return [(name, [(place, axis) for place, axis in enumerate(axes) if axis.group == name]) for name in names]
