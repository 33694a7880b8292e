"""What a bench consists of: cells, each done by one command, each with the cells that must be done before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dynvit.benchmark.prepare import Planned
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError, unknown

TRAIN, BUDGETS, SEARCH, ACCURACY = "train", "budgets", "search", "accuracy"


@dataclass(frozen=True)
class Cell:
    """One part of a bench: a training, the common budgets, a trial, or one measurement of one model's points.

    ``label`` is the model's, or of the training; ``needs`` are names of cells; ``trial`` is a trial's number in its
    study, from 0.
    """

    kind: str
    label: str = ""
    needs: tuple[str, ...] = ()
    trial: int | None = None

    @property
    def name(self) -> str:
        """What ``--cell`` takes.

        >>> Cell("accuracy", "topk").name, Cell("budgets").name, Cell("search", "topk", trial=4).name
        ('accuracy:topk', 'budgets', 'search:topk:4')
        """
        return ":".join(self._parts)

    @property
    def measures(self) -> bool:
        """Whether lines come of it."""
        return self.kind not in (TRAIN, BUDGETS)

    @property
    def folder(self) -> str:
        """The name of its folder, where lines come of it."""
        return "-".join(self._parts)

    @property
    def _parts(self) -> list[str]:
        return [self.kind, *([self.label] if self.label else []), *([] if self.trial is None else [str(self.trial)])]


def cells_of(bench: Bench) -> list[Cell]:
    """Every cell of a bench; none stands before one that it needs."""
    return [*_trainings(bench), *_budgets(bench), *_trials(bench), *_measuring(bench)]


def find_cell(name: str, cells: Sequence[Cell]) -> Cell:
    """The cell of a name. Raises: ``InputError`` where the bench has none such."""
    for cell in cells:
        if cell.name == name:
            return cell
    raise unknown("cell", name, [cell.name for cell in cells])


@dataclass(frozen=True)
class BenchShare:
    """One of ``count`` parts of a bench, by ``number`` from 1. All cells of one model are in the same part."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> BenchShare:
        """From ``I/N``.

        >>> BenchShare.read("2/3")
        BenchShare(number=2, count=3)

        Raises: ``InputError`` for anything else.
        """
        number, _, count = text.strip().partition("/")
        if not (number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
            raise InputError(f"--share must be I/N, 2/3 for the second of three parts, got {text!r}")
        if not 1 <= int(number) <= int(count):
            raise InputError(f"--share must be I/N with I from 1 to N, got {text!r}: number tasks from 1, --array=1-N")
        return cls(int(number), int(count))

    @property
    def folder(self) -> str:
        """The name of its folder in the bench's."""
        return f"share-{self.number}-of-{self.count}"

    def of(self, labels: Sequence[str]) -> frozenset[str]:
        """Those of the labels that are this part's: all in the order of their hashes, dealt one by one.

        So the parts do not depend on the order in which models are named, and none is larger than another by two.
        """
        dealt = sorted(set(labels), key=lambda label: hashlib.sha256(label.encode()).hexdigest())
        return frozenset(dealt[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def statics(bench: Bench) -> list[Planned]:
    """The models that are the backbone itself: a measurement may hold another model against them."""
    return [one for one in bench.preparation.planned if one.wanted.method.static]


def _trainings(bench: Bench) -> Iterator[Cell]:
    start = bench.preparation.start
    if start is not None:
        yield Cell(TRAIN, start)
    before = () if start is None else (Cell(TRAIN, start).name,)
    for one in bench.preparation.planned:
        if one.trained:
            yield Cell(TRAIN, one.label, before)


def _budgets(bench: Bench) -> Iterator[Cell]:
    if bench.shares_budgets:
        yield Cell(BUDGETS, needs=tuple(cell.name for cell in _trainings(bench)))


def _trials(bench: Bench) -> Iterator[Cell]:
    """Each trial of searches that propose several together; one that proposes them singly is done where it measures."""
    if bench.config.search_batch == 1 or bench.point is not None:
        return
    made = _made(bench)
    for label in bench.searches.knobs:
        before = made[label]
        for batch in bench.searches.sampling.batches():
            cells = [Cell(SEARCH, label, before, trial) for trial in batch]
            yield from cells
            before = tuple(cell.name for cell in cells)


def _made(bench: Bench) -> Mapping[str, tuple[str, ...]]:
    """The training that makes each model, by label."""
    trainings = {cell.label: (cell.name,) for cell in _trainings(bench)}
    start = trainings.get(bench.preparation.start or "", ())
    return {one.label: trainings[one.label] if one.trained else start for one in bench.preparation.planned}


def _measuring(bench: Bench) -> Iterator[Cell]:
    budgets = tuple(cell.name for cell in _budgets(bench))
    trials: dict[str, list[str]] = {}
    for cell in _trials(bench):
        trials.setdefault(cell.label, []).append(cell.name)
    for label, made in _made(bench).items():
        yield Cell(ACCURACY, label, budgets or tuple(trials.get(label, made)))
    compared = [Cell(ACCURACY, one.label).name for one in statics(bench)]
    for measurement in bench.measurements:
        for one in bench.preparation.planned:
            if bench.follows(one.seed):
                needs = (Cell(ACCURACY, one.label).name, *compared)
                yield Cell(measurement.name, one.label, tuple(dict.fromkeys(needs)))
