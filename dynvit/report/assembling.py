"""A board from records, and from entries of older boards whose records were not published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dynvit.errors import InputError
from dynvit.leaderboard.baseline import Baselines, against, is_against
from dynvit.leaderboard.board import Entry, Generated, MethodSummary, Setting
from dynvit.leaderboard.contradiction import differences
from dynvit.leaderboard.paired import Paired
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.spread import SeedSpread
from dynvit.report.boards import Board, with_overviews
from dynvit.report.build import build, difference, group, objectives_of, on_front, share_of, to_join, worth_of
from dynvit.report.resampling import Ranked, with_bootstraps
from dynvit.report.run_data import RunData
from dynvit.report.terms import told_apart
from dynvit.version import __version__

_DERIVED = {"on_front", "on_method_front", "against_dense", "measurements", "skipped"}
_HOW_FOUND = {"target_gmacs", "solved_by", "origin"}
_OF_TRAINING = {"training", "training_seed"}


def assembled(run: RunData, boards: Sequence[Board], command: str) -> Board:
    """The board of all records that report, and of the boards' entries that have none; with the boards' paper rows.

    Raises: ``InputError`` for more than one setting, and where two say other numbers of one entry, with both.
    """
    groups = group(run.records)
    settings = list(dict.fromkeys([*(board.setting for board in boards), *groups]))
    if len(settings) > 1:
        raise InputError(f"one front cannot hold {difference(settings)}: give each its own leaderboard")
    papers = tuple(dict.fromkeys(row for board in boards for row in board.paper))
    if not groups and not boards:
        return build(run)  # which says that there is none
    made = to_join(run, command=command, papers=papers) if groups else None
    [own, *others] = told_apart([made.entries if made else (), *(board.entries for board in boards)])
    boards = [board.model_copy(update={"entries": entries}) for board, entries in zip(boards, others, strict=True)]
    rest = _without_record(own, boards)
    if made is not None and not rest:
        return with_overviews(made)
    made = made.model_copy(update={"entries": own}) if made else None
    return _together(settings[0], made, rest, boards, run.per_sample, command).model_copy(update={"paper": papers})


def _without_record(made: Sequence[Entry], boards: Sequence[Board]) -> dict[str, Entry]:
    """Entries that no record makes, by id; what is said of one twice must agree. ``made``: those of records."""
    known = {entry.record_id: entry for entry in made}
    rest: dict[str, Entry] = {}
    for board in boards:
        for entry in board.entries:
            before = known.get(entry.record_id) or rest.get(entry.record_id)
            if before is not None:
                _agree(before, entry)
            if entry.record_id not in known:
                more = rest[entry.record_id].measurements if entry.record_id in rest else {}
                rest[entry.record_id] = entry.model_copy(update={"measurements": entry.measurements | more})
            elif lost := sorted(entry.measurements.keys() - known[entry.record_id].measurements.keys()):
                raise InputError(
                    f"entry {entry.record_id}: {lost[0]} was measured of it, and its lines are not given: merge the "
                    f"folder that has {lost[0]}.jsonl too"
                )
    return rest


def _agree(before: Entry, entry: Entry) -> None:
    shared = before.measurements.keys() & entry.measurements.keys()
    got, must = (
        one.model_dump(mode="json", exclude=_DERIVED | _HOW_FOUND | _OF_TRAINING)
        | {"measurements": {name: one.measurements[name] for name in shared}}
        for one in (entry, before)
    )
    found = next(differences(got, must, "in the other", older=True), None)
    if found is not None:
        raise InputError(
            f"entry {entry.record_id}: {found}: measured twice with other numbers; find out which is right, and leave "
            "the other out"
        )


def _together(
    setting: Setting,
    made: Board | None,
    rest: Mapping[str, Entry],
    boards: Sequence[Board],
    kept: Mapping[str, PerSampleResults],
    command: str,
) -> Board:
    entries = sorted([*(made.entries if made else ()), *rest.values()], key=_order)
    objectives = objectives_of(setting)
    by_method: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_method[entry.method].append(entry)
    own = [flag for name in sorted(by_method) for flag in on_front(_points(by_method[name]))]
    sources = [*([made] if made else []), *boards]
    baselines, before = Baselines.among_entries(entries), _paired_before(sources)
    flagged = []
    for entry, mine, overall in zip(entries, own, on_front(_points(entries)), strict=True):
        baseline = baselines.of(entry.seed)
        pair = against(baseline, entry.record_id, kept) or before.get((entry.record_id, baseline))
        now: dict[str, Any] = {"on_method_front": mine, "on_front": overall, "against_dense": pair}
        flagged.append(entry.model_copy(update=now))
    methods = [_summary(name, by_method[name], objectives, sources) for name in sorted(by_method)]
    ranked = {name: [Ranked.of_entry(entry) for entry in own] for name, own in by_method.items()}
    worth = worth_of(_points(entries), objectives)
    return with_overviews(
        Board(
            setting=setting,
            objectives=objectives,
            entries=tuple(flagged),
            methods=with_bootstraps(methods, ranked, kept, objectives),
            hypervolume=worth,
            hypervolume_share=share_of(worth, objectives),
            seeds=_seeds(sources, {entry.record_id for entry in entries}),
            generated=Generated(
                command=command, date_utc=max(one.generated.date_utc for one in sources), dynvit=__version__
            ),
        )
    )


def _paired_before(sources: Sequence[Board]) -> dict[tuple[str, str | None], Paired]:
    """What boards say of their entries against the static backbone, by both record ids.

    What a board pairs with another baseline, as older ones did, is left out.
    """
    found: dict[tuple[str, str | None], Paired] = {}
    for board in sources:
        baselines, by_id = Baselines.among_entries(board.entries), {entry.record_id: entry for entry in board.entries}
        for entry in board.entries:
            baseline, pair = baselines.of(entry.seed), entry.against_dense
            if pair is not None and (baseline is None or is_against(pair, entry, by_id[baseline])):
                found.setdefault((entry.record_id, baseline), pair)
    return found


def _order(entry: Entry) -> tuple[str, float, float, str]:
    return entry.method, entry.gmacs_mean, -entry.top1_pct, entry.record_id


def _points(entries: Sequence[Entry]) -> list[tuple[float, float]]:
    return [(entry.gmacs_mean, entry.top1_pct) for entry in entries]


def _summary(name: str, entries: Sequence[Entry], objectives: Any, sources: Sequence[Board]) -> MethodSummary:
    said = [method for board in sources for method in board.methods if method.name == name]
    worth = worth_of(_points(entries), objectives)
    return MethodSummary(
        name=name,
        distribution=said[0].distribution,
        versions=tuple(sorted({version for method in said for version in method.versions})),
        n_entries=len(entries),
        n_front=sum(on_front(_points(entries))),
        hypervolume=worth,
        hypervolume_share=share_of(worth, objectives),
    )


def _seeds(sources: Sequence[Board], known: set[str]) -> tuple[SeedSpread, ...]:
    """What each board says of seeds, once, but what another board says of the same records and more."""
    found = {ids: spread for board in sources for spread in board.seeds if known >= set(ids := spread.record_ids)}
    return tuple(spread for ids, spread in found.items() if not any(set(ids) < set(others) for others in found))
