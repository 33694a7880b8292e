"""From records to the leaderboard: the records of one setting, the fronts they make, what these are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dynvit.errors import InputError
from dynvit.leaderboard.baseline import Baselines, against
from dynvit.leaderboard.board import Entry, Generated, MethodSummary, Objective, Setting
from dynvit.leaderboard.front import hypervolume, non_dominated
from dynvit.leaderboard.paired import Paired
from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.papers import of_setting
from dynvit.leaderboard.record import Frozen, JsonObject, Record, is_static
from dynvit.leaderboard.spread import seed_spreads
from dynvit.leaderboard.training import shared_by
from dynvit.measurements.base import measurements
from dynvit.report.boards import Board, with_overviews
from dynvit.report.resampling import Ranked, with_bootstraps
from dynvit.report.run_data import RunData
from dynvit.version import __version__

Point = tuple[float, float]
"""Mean GMACs an image, and top-1 in percent."""


def build(run: RunData, *, command: str = "", papers: Iterable[PaperRow] = ()) -> Board:
    """The board of the records that report; a sampler's trials (``role: search``) are left out.

    Where per-sample results are kept, every record is paired with the static backbone's image by image. Of ``papers``
    those rows stay that are of the records' setting.

    The hypervolume's reference point is the static backbone's GMACs with chance accuracy: a method is
    worth what it saves against doing nothing, so dense alone is worth 0.

    Raises: ``InputError`` where nothing reports, or where the records are of more than one setting.
    """
    return with_overviews(to_join(run, command=command, papers=papers))


def to_join(run: RunData, *, command: str = "", papers: Iterable[PaperRow] = ()) -> Board:
    """The same before it is known whether others join: each entry says its terms, and nothing is said of all.

    Raises: as ``build``.
    """
    groups = group(run.records)
    if not groups:
        raise InputError("no record reports a point: run `dynvit bench` to its end first")
    if len(groups) > 1:
        raise InputError(f"one front cannot hold {difference(list(groups))}: give each its own leaderboard")
    [(setting, kept)] = groups.items()
    objectives = objectives_of(setting)
    by_method = _by_method(kept)
    ordered = [record for own in by_method.values() for record in own]
    worth = worth_of(_points(ordered), objectives)
    methods = [_summary(name, own, objectives) for name, own in by_method.items()]
    ranked = {name: [Ranked.of_record(record) for record in own] for name, own in by_method.items()}
    return Board(
        setting=setting,
        objectives=objectives,
        entries=entries_of(kept, run),
        methods=with_bootstraps(methods, ranked, run.per_sample, objectives),
        hypervolume=worth,
        hypervolume_share=share_of(worth, objectives),
        seeds=seed_spreads(ordered),
        paper=of_setting(papers, setting),
        generated=Generated(command=command, date_utc=max(record.date_utc for record in kept), dynvit=__version__),
    )


def entries_of(records: Iterable[Record], run: RunData) -> tuple[Entry, ...]:
    """The entries of a board of these records: by method, then by rising GMACs. ``run``: what was measured of them."""
    by_method = _by_method(records)
    own = [flag for points in map(_points, by_method.values()) for flag in on_front(points)]
    return tuple(_entries([record for records in by_method.values() for record in records], own, run))


def _by_method(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Methods by name, each with its records by rising GMACs."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=_order):
        found[record.method.name].append(record)
    return {name: found[name] for name in sorted(found)}


def _entries(records: Sequence[Record], on_method_front: Sequence[bool], run: RunData) -> Iterator[Entry]:
    """An entry for each record, with what each measurement says of it."""
    kept = run.per_sample
    baselines = Baselines.among_records(records)
    said = {name: kind.summarise(records, run.results.get(name, {})) for name, kind in measurements.load_all().items()}
    overall_front = on_front(_points(records))
    for record, mine, overall in zip(records, on_method_front, overall_front, strict=True):
        entry = _entry(record, against(baselines.of(record.seed), record.record_id, kept), mine, overall)
        yield entry.model_copy(update={"measurements": _said(record, said), "skipped": _skipped(record, run)})


def _said(record: Record, said: Mapping[str, Mapping[str, Frozen | None]]) -> dict[str, JsonObject]:
    found = {name: summaries.get(record.record_id) for name, summaries in said.items()}
    return {name: summary.model_dump(mode="json") for name, summary in found.items() if summary is not None}


def _skipped(record: Record, run: RunData) -> dict[str, str]:
    return {name: why[record.record_id] for name, why in run.skipped.items() if record.record_id in why}


def group(records: Iterable[Record]) -> dict[Setting, list[Record]]:
    """The reporting records by setting, in the order of their first record."""
    groups: dict[Setting, list[Record]] = {}
    for record in records:
        if record.role == "report":
            groups.setdefault(setting_of(record), []).append(record)
    return groups


def setting_of(record: Record) -> Setting:
    """What this record may be compared within."""
    recipe, start = shared_by(record.training) or (None, None)
    return Setting(
        dataset=record.dataset.name,
        split=record.dataset.split,
        manifest_sha256=record.dataset.manifest_sha256,
        n=record.dataset.n_unique,
        backbone=record.backbone.name,
        image_size=record.backbone.image_size,
        num_classes=record.backbone.num_classes,
        rule=record.compute.rule,
        dense_gmacs=record.compute.dense_gmacs,
        shared_recipe_sha256=recipe,
        start_sha256=start,
    )


def difference(settings: Sequence[Setting]) -> str:
    """The first thing in which settings differ, with its values.

    >>> one = {"dataset": "digits", "split": "validation", "manifest_sha256": "0" * 64, "n": 360, "backbone": "v"}
    >>> one |= {"image_size": (8, 8), "num_classes": 10, "rule": "matmul+conv", "dense_gmacs": 1.0}
    >>> difference([Setting(**one), Setting(**one | {"n": 100})])
    'records of n 360 and 100'
    """
    for key in Setting.model_fields:
        values = list(dict.fromkeys(getattr(setting, key) for setting in settings))
        if len(values) > 1:
            return f"records of {key} {' and '.join(str(value) for value in values[:3])}"
    return "equal settings"


def _order(record: Record) -> tuple[float, float, str]:
    return record.compute.gmacs_mean, -record.accuracy.top1_pct, record.record_id


def _points(records: Sequence[Record]) -> list[Point]:
    return [(record.compute.gmacs_mean, record.accuracy.top1_pct) for record in records]


def objectives_of(setting: Setting) -> tuple[Objective, Objective]:
    """The axes of the front; the reference point is the static backbone's GMACs with chance accuracy."""
    return (
        Objective(key="gmacs_mean", higher_is_better=False, reference=setting.dense_gmacs),
        Objective(key="top1_pct", higher_is_better=True, reference=100 / setting.num_classes),
    )


def on_front(points: Sequence[Point]) -> list[bool]:
    """Which no other dominates."""
    flags: list[bool] = non_dominated(points, minimise=(True, False)).tolist()
    return flags


def worth_of(points: Sequence[Point], objectives: Sequence[Objective]) -> float:
    """The hypervolume of points. Units: GMACs x percent."""
    reference = [objective.reference for objective in objectives]
    return hypervolume(points, reference, minimise=(True, False))


def share_of(worth: float, objectives: Sequence[Objective]) -> float:
    """The same as a share of what is possible."""
    cost, accuracy = objectives
    return min(worth / (cost.reference * (100 - accuracy.reference)), 1.0)  # 1 up to a rounding


def _summary(name: str, records: Sequence[Record], objectives: Sequence[Objective]) -> MethodSummary:
    points = _points(records)
    worth = worth_of(points, objectives)
    return MethodSummary(
        name=name,
        distribution=records[0].method.distribution,
        versions=tuple(sorted({record.method.version for record in records})),
        n_entries=len(records),
        n_front=sum(on_front(points)),
        hypervolume=worth,
        hypervolume_share=share_of(worth, objectives),
    )


def _entry(record: Record, against_dense: Paired | None, on_method_front: bool, on_front: bool) -> Entry:
    accuracy, compute = record.accuracy, record.compute
    told = record.training is not None and record.training.seed == record.seed
    return Entry.model_construct(  # of a record that was checked: large boards need not wait for it twice
        record_id=record.record_id,
        method=record.method.name,
        options=record.method.options,
        knobs=record.point.knobs,
        target_gmacs=record.point.target_gmacs,
        origin=record.point.origin,
        solved_by=record.point.solved_by,
        checkpoint_sha256=record.checkpoint.sha256 if record.checkpoint else None,
        gmacs_mean=compute.gmacs_mean,
        gmacs_p5=compute.gmacs_p5,
        gmacs_p95=compute.gmacs_p95,
        saving_pct=compute.saving_pct,
        top1_pct=accuracy.top1_pct,
        top1_ci95_low_pct=accuracy.top1_ci95_low_pct,
        top1_ci95_high_pct=accuracy.top1_ci95_high_pct,
        top5_pct=accuracy.top5_pct,
        baseline=is_static(record),
        on_method_front=on_method_front,
        on_front=on_front,
        against_dense=against_dense,
        training=record.training,
        training_seed=None if told else record.seed,
    )
