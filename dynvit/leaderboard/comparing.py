"""Records compared image by image: found by name, paired, shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.errors import InputError
from dynvit.leaderboard.baseline import Baselines
from dynvit.leaderboard.naming import point_in_words, short_ids
from dynvit.leaderboard.paired import Paired, paired
from dynvit.leaderboard.per_sample import PerSampleResults, read_per_sample
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.leaderboard.table import digits, plain_table
from dynvit.terminal import Table

LEAST_P = 1e-16  # below it a p-value says nothing more
SHOWN = 6  # digits of an id at least: of two records one may be of another folder


@dataclass(frozen=True)
class Answered:
    """A record and its per-sample results: which images it classified correctly."""

    record: Record
    results: PerSampleResults


def read_answered(folder: Path) -> list[Answered]:
    """The reporting records of a bench, or beside a published board, whose per-sample results were kept.

    Raises: ``InputError`` where there is no bench, or none of its records has them.
    """
    place = Place.of_evidence(folder)
    runs = place.runs if folder.is_dir() or folder.suffix == ".json" else folder
    if folder.suffix == ".json" and folder.is_file() and not runs.is_file():
        raise InputError(f"{folder} was published without its records ({runs.name}): its entries cannot be paired")
    if not runs.is_file():
        raise InputError(f"no bench in {str(folder)!r}: give its output folder, a board, or one of them with :RECORD")
    kept = read_per_sample(place)
    reported = [record for record in RunStore(runs).read() if record.role == "report"]
    found = [Answered(record, kept[record.record_id]) for record in reported if record.record_id in kept]
    if not found:
        raise InputError(f"{runs} has no per-sample results: run the bench again with --fresh")
    return found


def find(name: str, beside: Answered | None = None) -> Answered:
    """The record of ``FOLDER:ID``, by the id's beginning; of ``FOLDER`` alone its static backbone.

    Args:
        name: FOLDER or FOLDER:ID.
        beside: what it is compared with: of several static backbones that of its seed is taken, else of the lowest.

    Raises: ``InputError`` where no record is called so, or several are.
    """
    folder, prefix = _parts(name)
    answered = read_answered(Path(folder))
    if not prefix:
        return _baseline(answered, None if beside is None else beside.record.seed, folder)
    found = [one for one in answered if one.record.record_id.startswith(prefix)]
    if not found:
        what = f"record {prefix!r} with per-sample results"
        raise InputError(f"{folder} has no {what}: dynvit compare {folder} lists what there is")
    if len(found) > 1:
        raise InputError(f"{len(found)} records of {folder} begin with {prefix!r}: give more of the id")
    return found[0]


def compared(first: str, second: str | None = None) -> list[tuple[Answered, list[Answered]]]:
    """What stands against what: each base, with those that are held against it.

    Args:
        first: FOLDER:ID is the one base; FOLDER stands for the static backbone of each record's seed, as on a board.
        second: the only one that is held against it; None: all others of the folder.

    Returns: the bases that have any.
    Raises: as ``find``.
    """
    folder, prefix = _parts(first)
    if second is not None:
        other = find(second) if _parts(second)[1] else find(second, find(first))
        return [(find(first, other), [other])]
    answered = read_answered(Path(folder))
    if prefix:
        base = find(first)
        return [(base, [one for one in answered if one.record.record_id != base.record.record_id])]
    found: dict[str, tuple[Answered, list[Answered]]] = {}
    for one in answered:
        base = _baseline(answered, one.record.seed, folder)
        others = found.setdefault(base.record.record_id, (base, []))[1]
        if one.record.record_id != base.record.record_id:
            others.append(one)
    return [pair for pair in found.values() if pair[1]] or list(found.values())


def _parts(name: str) -> tuple[str, str]:
    """Folder and id. Raises: ``InputError`` where there is no folder."""
    folder, _, prefix = (name, "", "") if Path(name).exists() else name.rpartition(":")
    if not folder:
        raise InputError(f"{name!r} names no record: write FOLDER:ID; dynvit compare FOLDER lists them")
    return folder, prefix


def _baseline(answered: Sequence[Answered], seed: int | None, folder: str) -> Answered:
    chosen = Baselines.among_records(one.record for one in answered).of(seed)
    if chosen is None:
        raise InputError(f"{folder} has no record of the static backbone: dynvit compare {folder} lists what there is")
    return next(one for one in answered if one.record.record_id == chosen)


def compare(first: Answered, second: Answered) -> Paired:
    """Second minus first. Raises: ``InputError`` where they were not measured on the same images."""
    if first.results.images != second.results.images:
        raise InputError(
            f"records {first.record.record_id} and {second.record.record_id} are of other images "
            f"({first.results.n:,} and {second.results.n:,}): measure both on one split, with one --limit and --seed"
        )
    return paired(first.results.bits(), second.results.bits())


def comparison_table(first: Answered, others: list[Answered]) -> Table:
    """One row for each of the others, as it stands to the first."""
    base = first.record
    ids = short_ids((base.record_id, *(other.record.record_id for other in others)), SHOWN)
    shown = plain_table(
        title=f"against {base.method.name} {ids[base.record_id]}: {base.accuracy.top1_pct:.2f} % "
        f"at {base.compute.gmacs_mean:.4g} GMACs, {first.results.n:,} images",
        caption="difference in points with its 95 % interval, paired · p of the exact McNemar test, for one comparison "
        "alone: of twenty rows one falls below 0.05 by chance",
    )
    shown.add_column("id", no_wrap=True)
    shown.add_column("method and point")
    for heading in ("GMACs", "top-1 %", "gained,\nlost", "difference", "p"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals = digits(max((one.record.compute.gmacs_mean for one in (first, *others)), default=1.0))
    for other in sorted(others, key=lambda one: (one.record.method.name, one.record.compute.gmacs_mean)):
        result = compare(first, other)
        record = other.record
        shown.add_row(
            ids[record.record_id],
            _called(record, others),
            f"{record.compute.gmacs_mean:.{decimals}f}",
            f"{record.accuracy.top1_pct:.2f}",
            f"{result.gained}, {result.lost}",
            f"{result.difference_points:+.2f} [{result.ci95_low_points:+.2f}, {result.ci95_high_points:+.2f}]",
            f"{result.p_value:.2g}" if result.p_value >= LEAST_P else f"< {LEAST_P:g}",
        )
    return shown


def _called(record: Record, others: Sequence[Answered]) -> str:
    """Method and point, and the target where checkpoints of the method differ in it."""
    method = record.method
    targets = {_target(one.record) for one in others if one.record.method.name == method.name}
    own = _target(record)
    told = "" if own is None or len(targets) < 2 else f"target {own:g}"
    return " ".join(filter(None, [method.name, told, point_in_words(method.name, record.point.knobs, method.options)]))


def _target(record: Record) -> float | None:
    return None if record.training is None else record.training.target
