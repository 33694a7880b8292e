"""Records compared image by image, and trainings that differ in their seed alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.paired import paired
from dynvit.leaderboard.per_sample import PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.spread import seed_spreads
from dynvit.leaderboard.store import RunStore
from dynvit.leaderboard.training import TrainingRecord
from dynvit.report import RunData, build_board, print_board, read_run
from dynvit.report.rederive import of_board
from dynvit.report.resampling import Ranked

DENSE, N = 1.2537, 40
IMAGES = images_hash(map(str, range(N)))


def right(count: int, of: int = N) -> np.ndarray:
    return np.arange(of) < count


def per_sample(record: Record, count: int, images: str = IMAGES) -> PerSampleResults:
    return PerSampleResults(record_id=record.record_id, n=N, images=images, right=pack(right(count)))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_pair_is_what_only_one_of_them_answers_right(both: list[tuple[bool, bool]]) -> None:
    first, second = np.array(both).T
    found, back = paired(first, second), paired(second, first)
    assert (found.gained, found.lost) == (back.lost, back.gained)
    assert found.difference_points == pytest.approx(100 * (second.mean() - first.mean()))
    assert found.ci95_low_points <= found.ci95_high_points
    assert (found.ci95_low_points, found.p_value) == pytest.approx((-back.ci95_high_points, back.p_value))
    assert paired(first, first).p_value == 1.0


def test_other_images_are_never_paired(measure) -> None:
    with pytest.raises(InputError, match="cannot be paired"):
        paired(right(3), right(3, of=N - 1))
    dense, one, other = (
        measure("dense", DENSE, 30, knobs={}, n=N),
        measure(correct=20, n=N),
        measure("random", n=N, correct=9),
    )
    kept = [per_sample(dense, 30), per_sample(one, 20), per_sample(other, 9, images="f" * 16)]
    board = build_board(RunData([dense, one, other], per_sample={each.record_id: each for each in kept}))
    found = {entry.method: entry.against_dense for entry in board.entries}
    assert (found["dense"], found["random"]) == (None, None)
    assert found["topk"] is not None
    assert (found["topk"].lost, found["topk"].gained, found["topk"].difference_points) == (10, 0, -25.0)


@pytest.mark.parametrize("file", ["per_sample.jsonl", "answers.jsonl"])
def test_compare_pairs_the_records_of_a_folder_of_either_version(
    measure, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    dense, one = measure("dense", DENSE, 30, knobs={}, n=N), measure(correct=20, n=N)
    with RunStore(tmp_path / "runs.jsonl") as runs, PerSampleStore(tmp_path / file) as kept:
        for record, count in ((dense, 30), (one, 20)):
            runs.append(record)
            kept.append(per_sample(record, count))
    assert main(["compare", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert one.record_id[:6] in said
    assert "-25.00" in said
    assert main(["compare", f"{tmp_path}:{one.record_id[:6]}", f"{tmp_path}:{dense.record_id}"]) == 0
    assert "+25.00" in capsys.readouterr().out
    assert read_run(tmp_path).per_sample.keys() == {dense.record_id, one.record_id}
    assert main(["validate", str(tmp_path)]) == 0
    assert "per-sample results of 2 records, all valid" in capsys.readouterr().out


def test_trainings_that_differ_in_their_seed_alone_are_spread(measure) -> None:
    seeds = [measure(gmacs=0.8, correct=correct, seed=seed) for seed, correct in ((1, 3600), (0, 3500), (2, 3400))]
    alone = [measure("random", 0.5, 900), measure(gmacs=0.7, correct=3000)]
    [spread] = seed_spreads([*alone, *seeds])
    assert (spread.method, spread.seeds) == ("topk", (0, 1, 2))
    assert spread.record_ids == tuple(record.record_id for record in (seeds[1], seeds[0], seeds[2]))
    assert (spread.top1_mean_pct, spread.top1_sd_pct) == pytest.approx((70.0, 2.0))
    assert (spread.gmacs_mean, spread.gmacs_sd) == pytest.approx((0.8, 0.0))
    board = build_board(RunData([*alone, *seeds]))
    assert [found.seeds for found in board.seeds] == [(0, 1, 2)]
    console = Console(width=120, file=io.StringIO(), record=True)
    print_board(board, console)
    text = console.export_text()
    assert "over training seeds" in text
    assert "70.00 ± 2.00" in text
    assert seed_spreads(alone) == ()


TRAINED = TrainingRecord(
    division="free",
    recipe="dense",
    recipe_sha256="1" * 64,
    epochs=1,
    images_seen=900,
    start_sha256="2" * 64,
    data_seed=0,
)


def trained(record: Record, **fields: Any) -> Record:
    said = TRAINED.model_copy(update={"seed": record.seeds.training} | fields)
    return record.model_copy(update={"training": said})


def test_trainings_that_differ_in_more_than_their_seed_are_not_spread(measure) -> None:
    first, second = (measure(correct=correct, seed=seed) for seed, correct in ((0, 500), (1, 4500)))
    [_] = seed_spreads([trained(first, wall_s=1.0), trained(second, wall_s=2.0, training_gmacs=7.0)])
    for other in (
        {"epochs": 20.0, "images_seen": 18_000},
        {"recipe_sha256": "3" * 64},
        {"start_sha256": "3" * 64},
        {"division": "fine-tuned"},
        {"target": 0.5},
        {"data_seed": 1},
    ):
        assert seed_spreads([trained(first), trained(second, **other)]) == ()


def test_the_bootstrap_takes_the_same_trainings_for_seeds(measure) -> None:
    dense = measure("dense", DENSE, 30, knobs={}, n=N)
    points = [(0, 0.5, 10), (0, 0.8, 12), (1, 0.5, 20), (1, 0.8, 24)]
    records = [measure(gmacs=gmacs, correct=count, n=N, seed=seed) for seed, gmacs, count in points]
    kept = {each.record_id: per_sample(each, each.accuracy.n_correct) for each in [dense, *records]}
    found = {}
    for epochs in (1.0, 20.0):
        own = [trained(each, epochs=epochs if each.seeds.training else 1.0) for each in records]
        board = build_board(RunData([dense, *own], per_sample=kept))
        found[epochs] = {method.name: method.bootstrap for method in board.methods}["topk"]
    assert found[1.0] is not None
    assert found[20.0] is not None
    assert (found[1.0].seeds, found[20.0].seeds, found[20.0].seed_sd_pct) == ((0, 1), (), None)
    assert found[1.0].mean_pct > found[20.0].mean_pct, "the first seed alone, not the luckiest of all points"


def test_one_budget_is_one_point_whatever_knobs_it_took(measure) -> None:
    def solved(seed: int, ratio: float, target: float | None) -> Record:
        record = measure(gmacs=0.8, seed=seed, knobs={"keep_ratio": ratio})
        return record.model_copy(update={"point": record.point.model_copy(update={"target_gmacs": target})})

    [spread] = seed_spreads([solved(0, 0.5, 0.81), solved(1, 0.6, 0.81)])
    assert (spread.target_gmacs, spread.knobs) == (0.81, None)
    assert seed_spreads([solved(0, 0.5, None), solved(1, 0.6, None)]) == ()


def test_points_that_were_found_in_another_way_are_no_seeds_of_one(measure) -> None:
    def found(seed: int, correct: int, **how: Any) -> Record:
        record = measure(gmacs=0.8, correct=correct, seed=seed, knobs={"keep_ratio": 0.5 + correct / 1e4})
        return record.model_copy(update={"point": record.point.model_copy(update={"target_gmacs": 0.81} | how)})

    by = {"cost": (3500, 3400), "accuracy": (3700, 3600)}
    records = [found(seed, rights[seed], solved_by=name) for name, rights in by.items() for seed in (0, 1)]
    assert [spread.top1_mean_pct for spread in seed_spreads(records)] == [69.0, 73.0]
    assert seed_spreads([found(0, 3500), found(1, 3500, origin="published")]) == ()


def test_a_spread_of_points_found_in_two_ways_is_a_contradiction(measure) -> None:
    board = build_board(RunData([measure(gmacs=0.8, correct=3500 + seed, seed=seed) for seed in (0, 1)]))
    one, other = board.entries
    mixed = board.model_copy(update={"entries": (one.model_copy(update={"solved_by": "accuracy"}), other)})
    assert not [found for found in of_board(board) if found.at.startswith("seeds")]
    assert [found.at for found in of_board(mixed)] == ["seeds.0.record_ids"]


@pytest.mark.parametrize("training", [None, TrainingRecord(division="off-the-shelf"), TRAINED])
def test_a_models_seed_is_one_whether_of_its_record_or_its_entry(measure, training: TrainingRecord | None) -> None:
    record = measure(seed=3).model_copy(
        update={"training": training and training.model_copy(update={"seed": 3 if training is TRAINED else None})}
    )
    [entry] = build_board(RunData([record])).entries
    assert (record.seed, entry.seed, Ranked.of_record(record), entry.training_seed) == (
        *(3, 3, Ranked.of_entry(entry)),
        None if training is TRAINED else 3,
    )
