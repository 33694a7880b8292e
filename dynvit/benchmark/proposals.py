"""The trials of a search that several processes measure: one asks for them, and keeps them for the others."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.benchmark.cells import SEARCH, Cell
from dynvit.benchmark.done import folder_of_cell
from dynvit.benchmark.run import Bench
from dynvit.benchmark.searches import FOLDER
from dynvit.benchmark.waiting import told
from dynvit.errors import InputError
from dynvit.files import locked, write_whole
from dynvit.interface import OperatingPoint
from dynvit.reading import read_json
from dynvit.search import Objectives, Search
from dynvit.study_storage import StudyCopy

WORTH = "objectives.json"
"""What came of a trial, in the folder of its cell, beside the record that says so too."""


@dataclass
class Proposals:
    """One model's search: asked batch by batch, and told what the cells of the batch before have measured.

    ``copy`` is its study in a storage.
    """

    bench: Bench
    label: str
    copy: StudyCopy | None = None
    _search: Search | None = field(default=None, init=False, repr=False)

    def point(self, trial: int) -> OperatingPoint:
        """What a trial measures. Every trial of the batches before must be done. Raises: as ``worth_of``."""
        searches = self.bench.searches
        folder = self.bench.folder / FOLDER
        with locked(folder, math.inf, told("the proposals in", folder)):
            search = self._continued(searches.kept(self.label))
            while len(search.asked) <= trial:
                self._tell(search)
                search.ask()
            if len(search.asked) > len(searches.kept(self.label)):
                searches.keep(self.label, search.asked)
            return search.asked[trial]

    def finish(self) -> None:
        """Tell the last batch. Raises: as ``worth_of``."""
        self._tell(self._continued(self.bench.searches.kept(self.label)))

    def _continued(self, kept: list[OperatingPoint]) -> Search:
        """The search as far as it is kept: the one of the call before, unless another process has asked meanwhile."""
        if self._search is None or self._search.asked != kept:
            searches = self.bench.searches
            self._search = Search(searches.knobs[self.label], searches.sampling, kept=kept)
            while len(self._search.asked) < len(kept):
                self._tell(self._search)
                self._search.ask()
        return self._search

    def _tell(self, search: Search) -> None:
        batch = search.asked[len(search.told) :]
        search.tell([worth_of(self.bench, self.label, search.asked.index(point)) for point in batch])
        if self.copy is not None:
            self.copy.complete(search.asked, search.told)


def keep_worth(folder: Path, worth: Objectives) -> None:
    """Write what came of a trial into its cell's folder."""
    write_whole(folder / WORTH, (json.dumps(worth.values) + "\n").encode())


def worth_of(bench: Bench, label: str, trial: int) -> Objectives:
    """What came of a trial, the first of those that measure one point.

    Raises: ``InputError`` where it is not done.
    """
    cell = Cell(SEARCH, label, trial=trial)
    file = folder_of_cell(bench, cell) / WORTH
    there = read_json(file) if file.is_file() else None
    if not isinstance(there, list) or len(there) != bench.searches.sampling.objectives:
        raise InputError(f"{file} must hold what trial {trial} came to: do it again, --cell {cell.name}")
    return Objectives(*(float(value) for value in there))
