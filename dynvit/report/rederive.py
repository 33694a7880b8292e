"""What of a board follows from the rest of it, without the runs that it was built from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dynvit.leaderboard.baseline import Baselines
from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.bootstrap import shares_of_costs
from dynvit.leaderboard.contradiction import Contradiction, between, differences, equal, share_of_images
from dynvit.leaderboard.paired import Paired, difference_interval, mcnemar
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import looks_static, saving_pct
from dynvit.leaderboard.rederive import of_interval, of_top5
from dynvit.leaderboard.spread import SeedSpread, spread_of
from dynvit.measurements.base import measurements
from dynvit.report.build import objectives_of, on_front, share_of, worth_of


def of_board(board: Leaderboard) -> Iterator[Contradiction]:
    """Each entry, the fronts, the hypervolumes, the seeds, and what each measurement says of all entries."""
    yield from _of_setting(board)
    baselines, by_id = Baselines.among_entries(board.entries), {entry.record_id: entry for entry in board.entries}
    for place, entry in enumerate(board.entries):
        static = by_id.get(baselines.of(entry.seed) or "")
        for found in (*_of_entry(entry, board), *_of_pair(entry, static, board)):
            yield found.within(f"entries.{place}")
    yield from _of_order(board.entries)
    yield from _of_fronts(board)
    for place, spread in enumerate(board.seeds):
        for found in _of_seeds(spread, board.entries):
            yield found.within(f"seeds.{place}")
    yield from _of_measurements(board)


def of_evidence(board: Leaderboard, kept: Mapping[str, PerSampleResults], where: str) -> Iterator[Contradiction]:
    """What a board's entries say against per-sample results, where no record stands between. ``where``: of these."""
    for place, entry in enumerate(board.entries):
        results = kept.get(entry.record_id)
        if results is not None:
            right = int(results.bits().sum())
            why = f"{right:,} of {results.n:,} in {where}"
            yield from equal(f"entries.{place}.top1_pct", entry.top1_pct, 100 * right / results.n, why)
            yield from equal("setting.n", board.setting.n, results.n, f"images in {where}")


def _of_setting(board: Leaderboard) -> Iterator[Contradiction]:
    got = [objective.model_dump(mode="json") for objective in board.objectives]
    must = [objective.model_dump(mode="json") for objective in objectives_of(board.setting)]
    yield from differences(got, must, "dense_gmacs, and chance", "objectives")


def _of_entry(entry: Entry, board: Leaderboard) -> Iterator[Contradiction]:
    setting, n = board.setting, board.setting.n
    yield from share_of_images("top1_pct", entry.top1_pct, n)
    ends = entry.top1_ci95_low_pct, entry.top1_ci95_high_pct
    yield from of_interval("top1_ci95", ends, correct=round(entry.top1_pct * n / 100), n=n)
    yield from of_top5("top5_pct", entry.top5_pct, setting.num_classes, n)
    if entry.top5_pct is not None:
        yield from between("top5_pct", entry.top5_pct, entry.top1_pct, 100, "top1_pct or more")
    yield from between("gmacs_p5", entry.gmacs_p5, 0, entry.gmacs_p95, "gmacs_p95 or less")
    must = saving_pct(entry.gmacs_mean, setting.dense_gmacs)
    yield from equal("saving_pct", entry.saving_pct, must, "100 (1 - gmacs_mean / dense_gmacs)")
    static = looks_static(entry.knobs, entry.gmacs_mean, setting.dense_gmacs)
    yield from equal("baseline", entry.baseline, static, "no knob, and it costs what dense costs")


def _of_pair(entry: Entry, static: Entry | None, board: Leaderboard) -> Iterator[Contradiction]:
    paired = entry.against_dense
    if paired is None:
        return
    for found in _of_paired(paired):
        yield found.within("against_dense")
    yield from equal("against_dense.n", paired.n, board.setting.n, "setting.n")
    if static is not None:
        points = entry.top1_pct - static.top1_pct
        why = f"top1_pct less that of {static.record_id}, the dense model of its seed or of the lowest"
        yield from equal("against_dense.difference_points", paired.difference_points, points, why)


def _of_paired(paired: Paired) -> Iterator[Contradiction]:
    gained, lost, n = paired.gained, paired.lost, paired.n
    if gained + lost > n:  # of more images than there are, nothing follows
        yield from between("gained", gained, 0, n - lost, "n less lost")
        return
    yield from equal(
        "difference_points", paired.difference_points, 100 * (gained - lost) / n, "100 (gained - lost) / n"
    )
    interval = difference_interval(gained, lost, n)
    why = "Bonett and Price's interval of gained and lost"
    yield from equal("ci95_low_points", paired.ci95_low_points, interval.low_pct, why)
    yield from equal("ci95_high_points", paired.ci95_high_points, interval.high_pct, why)
    yield from equal("p_value", paired.p_value, mcnemar(gained, lost), "McNemar's test of gained and lost")


def _of_measurements(board: Leaderboard) -> Iterator[Contradiction]:
    """What each measurement says of each entry, and of all together."""
    places = {entry.record_id: place for place, entry in enumerate(board.entries)}
    for name, kind in measurements.load_all().items():
        for entry, summary in kind.measured(board):
            for found in kind.contradictions_on_board(summary, entry, board):
                yield found.within(f"entries.{places[entry.record_id]}.measurements.{name}")
        overview = kind.overview(board.entries, board)
        must = None if overview is None else overview.model_dump(mode="json")
        yield from differences(board.measurements.get(name), must, "of the entries", f"measurements.{name}", older=True)


def _of_order(entries: Sequence[Entry]) -> Iterator[Contradiction]:
    keys = [(entry.method, entry.gmacs_mean, -entry.top1_pct, entry.record_id) for entry in entries]
    if keys != sorted(keys):
        yield Contradiction("entries", "stand by method, then by rising gmacs_mean", "another order")
    ids = [entry.record_id for entry in entries]
    for record_id in sorted({name for name in ids if ids.count(name) > 1}):
        yield Contradiction("entries", f"hold {record_id} once", ids.count(record_id))


def _of_fronts(board: Leaderboard) -> Iterator[Contradiction]:
    objectives = objectives_of(board.setting)
    by_method: dict[str, list[int]] = {}
    for place, entry in enumerate(board.entries):
        by_method.setdefault(entry.method, []).append(place)
    points = [(entry.gmacs_mean, entry.top1_pct) for entry in board.entries]
    for place, flag in enumerate(on_front(points)):
        got = board.entries[place].on_front
        yield from equal(f"entries.{place}.on_front", got, flag, "whether no entry dominates it")
    yield from equal("methods", tuple(m.name for m in board.methods), tuple(sorted(by_method)), "those of the entries")
    for number, method in enumerate(board.methods):
        places = by_method.get(method.name, [])
        own = [points[place] for place in places]
        flags = on_front(own)
        for place, flag in zip(places, flags, strict=True):
            got = board.entries[place].on_method_front
            yield from equal(f"entries.{place}.on_method_front", got, flag, "whether none of its method dominates it")
        worth, at = worth_of(own, objectives), f"methods.{number}"
        yield from equal(f"{at}.n_entries", method.n_entries, len(own), "its entries")
        yield from equal(f"{at}.n_front", method.n_front, sum(flags), "its entries on its front")
        yield from equal(f"{at}.hypervolume", method.hypervolume, worth, "of its front")
        share = share_of(worth, objectives)
        yield from equal(f"{at}.hypervolume_share", method.hypervolume_share, share, "of its hypervolume")
    yield from _of_bootstraps(board)
    worth = worth_of(points, objectives)
    yield from equal("hypervolume", board.hypervolume, worth, "of the front of all entries")
    yield from equal("hypervolume_share", board.hypervolume_share, share_of(worth, objectives), "of hypervolume")


def _of_bootstraps(board: Leaderboard) -> Iterator[Contradiction]:
    """What of them the board itself says; the rest follows from per-sample results, beside the runs."""
    ranked = {place: method.bootstrap for place, method in enumerate(board.methods) if method.bootstrap is not None}
    for place, found in ranked.items():
        at = f"methods.{place}.bootstrap"
        yield from between(f"{at}.rank_worst", found.rank_worst, found.rank_best, len(ranked), "places of the ranked")
        yield from between(f"{at}.low_pct", found.low_pct, 0, found.high_pct, "high_pct or less")
        if (found.seed_sd_pct is None) != (len(found.seeds) < 2):
            yield Contradiction(f"{at}.seed_sd_pct", "be null with one training, else a number", found.seed_sd_pct)
        own = [(e.gmacs_mean, e.top1_pct) for e in board.entries if e.method == board.methods[place].name]
        top1 = [each for _, each in own]
        # Chosen on one half of the images and scored on the other, it is at most the front's own on all of them.
        costs = found.from_gmacs, board.setting.dense_gmacs
        most = max(top1) if found.seeds else _mean_top1(own, costs)
        yield from between(f"{at}.mean_pct", found.mean_pct, 0, most, "what its entries offer")


def _mean_top1(points: Sequence[tuple[float, float]], costs: tuple[float, float]) -> float:
    """Top-1 of the best point that costs no more, on average over costs. Units: percent; costs in GMACs."""
    import numpy as np

    gmacs, top1 = np.array(points, dtype=np.float64).T
    return float(top1 @ shares_of_costs(gmacs, top1, costs))


def _of_seeds(spread: SeedSpread, entries: Sequence[Entry]) -> Iterator[Contradiction]:
    by_id = {entry.record_id: entry for entry in entries}
    own = [by_id[record_id] for record_id in spread.record_ids if record_id in by_id]
    if len(own) != len(spread.seeds):
        yield Contradiction("record_ids", f"name an entry for each of {len(spread.seeds)} seeds", len(own))
        return
    for at, must in spread_of([e.top1_pct for e in own], [e.gmacs_mean for e in own]).items():
        yield from equal(at, getattr(spread, at), must, "of its entries")
    if len({(entry.solved_by, entry.origin) for entry in own}) > 1:
        yield Contradiction("record_ids", "name points that were found in one way (solved_by, origin)", "several")
    for entry in own:
        yield from equal("target_gmacs", spread.target_gmacs, entry.target_gmacs, "of its entries")
        yield from differences(spread.options, entry.options, "of its entries", "options")
