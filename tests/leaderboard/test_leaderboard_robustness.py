"""From attacks to a column: the worst image by image, the front of three objectives, signs of masking."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynvit.environment import capture
from dynvit.errors import InputError
from dynvit.leaderboard.follow_up import FollowUp, follow_up_key
from dynvit.leaderboard.per_sample import pack, unpack
from dynvit.leaderboard.record import Record, saving_lost_pct
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.specs import masking_checks, search_spec, specs_of
from dynvit.measurements.robustness.summary import (
    RobustnessOverview,
    robust_entries,
    slowdown_entries,
    summarise,
)
from dynvit.measurements.robustness.table import radius
from dynvit.report import Board, RunData, build_board, write_pictures

DENSE = 1.2537
SIZE = (224, 224)
Attacked = tuple[Record, Sequence[RobustnessResult]]


def attacked(right: list[bool], eps: float = 4 / 255, **fields: Any) -> RobustnessResult:
    given = {"attack": "pgd", "variant": "adaptive", "criterion": "misclassify", "settings": {"steps": 20}}
    return RobustnessResult(
        **{
            **given,
            "norm": "linf",
            "threat": "white-box",
            "eps": eps,
            "adaptive": True,
            "n": len(right),
            "accuracy_pct": 100 * sum(right) / len(right),
            "gmacs_mean": 0.8,
            "clean_accuracy_pct": 100.0,
            "clean_gmacs_mean": 0.7,
            "images": "0" * 16,
            "right": pack(np.array(right)),
            **fields,
        }
    )


def results_of(*those: Attacked) -> Mapping[str, Sequence[RobustnessResult]]:
    return {record.record_id: results for record, results in those if results}


def board_of(*those: Attacked) -> Board:
    return build_board(RunData([record for record, _ in those], {"robustness": results_of(*those)}))


RESULTS = st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=5)


@given(RESULTS, st.data())
def test_an_image_counts_if_it_survives_all_of_its_ball_and_of_smaller_ones(results, data) -> None:
    radii = data.draw(st.lists(st.sampled_from([0.01, 0.02, 0.03]), min_size=len(results), max_size=len(results)))
    entries = robust_entries([*map(attacked, results, radii)], SIZE)
    assert [entry.eps for entry in entries] == sorted(set(radii))
    for entry in entries:
        within = [right for right, eps in zip(results, radii, strict=True) if eps <= entry.eps]
        assert entry.accuracy_pct == pytest.approx(100 * np.logical_and.reduce(within).mean())
        assert entry.ci95_low_pct <= entry.accuracy_pct <= entry.ci95_high_pct
    assert sorted((e.accuracy_pct for e in entries), reverse=True) == [e.accuracy_pct for e in entries]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_come_back(right: list[bool]) -> None:
    assert unpack(pack(np.array(right)), len(right)).tolist() == right


def test_what_cannot_be_compared_is_not_joined() -> None:
    few = attacked([False] * 4, images="f" * 16)
    many, unbounded = attacked([True] * 8), attacked([False] * 8, eps=0.5)
    slow = attacked([False] * 8, criterion="slowdown")
    [entry] = robust_entries([few, many, unbounded, slow], SIZE)
    assert (entry.n, entry.accuracy_pct, entry.attacks) == (8, 100.0, 1)


def test_the_set_that_most_attempts_were_made_on_stands_and_of_equals_the_larger() -> None:
    once = attacked([True] * 8, images="f" * 16)
    often = [attacked([False] * 4, restart=restart) for restart in (None, 1)]
    for results in ([once, *often], [*often, once]):
        [entry] = robust_entries(results, SIZE)
        assert (entry.n, entry.accuracy_pct, entry.attacks) == (4, 0.0, 2)
    unbounded = attacked([False] * 4, eps=0.5)  # checks for masking, and is no attempt
    [entry] = robust_entries([often[0], unbounded, once], SIZE)
    assert (entry.n, entry.attacks) == (8, 1)


def test_a_slowdown_that_keeps_the_label_is_a_slowdown() -> None:
    free = attacked([True] * 4, criterion="slowdown", gmacs_mean=0.9, saving_lost_pct=20.0)
    kept = attacked([True] * 4, criterion="slowdown-keep-label", gmacs_mean=1.0, saving_lost_pct=30.0)
    found = slowdown_entries([free, kept])
    assert [(slow.keep_label, slow.gmacs_mean) for slow in found] == [(False, 1.0), (True, 1.0)]
    assert saving_lost_pct(1.5, 0.5, 1.0) == 200.0
    assert saving_lost_pct(1.0, 1.0, 1.0) is None


def test_the_front_of_three_keeps_what_is_only_robust(measure, tmp_path: Path) -> None:
    """Two points that two objectives would throw out: one is the most robust, the other nothing."""
    best = measure(gmacs=0.5, correct=4000), [attacked([True, False, False, False])]
    robust = measure(gmacs=0.8, correct=3000), [attacked([True, True, True, False])]
    neither = measure(gmacs=0.9, correct=2900), [attacked([True, True, False, False])]
    plain = measure(gmacs=0.1, correct=2000), []
    board = board_of(best, robust, neither, plain)
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    [front] = overview.fronts
    assert set(front.front) == {best[0].record_id, robust[0].record_id}
    assert front.n_entries == 3
    assert len(front.objectives) == 3
    # Two boxes that share a corner: accuracy above chance (0.1 %) times saved GMACs times robust accuracy.
    one, two = (79.9 * (DENSE - 0.5) * 25, 59.9 * (DENSE - 0.8) * 75)
    assert front.hypervolume == pytest.approx(one + two - 59.9 * (DENSE - 0.8) * 25)
    [table] = Robustness.tables(board)
    assert table.row_count == 3
    names = {path.name for path in write_pictures(board, tmp_path)}
    assert names >= {"robustness.png", "robustness.svg", "robustness.csv"}
    assert len((tmp_path / "robustness.csv").read_text().splitlines()) == 1 + 3
    unattacked = board_of(plain)
    assert list(Robustness.tables(unattacked)) == []
    assert Robustness.figure(unattacked) is None
    assert unattacked.overview("robustness", RobustnessOverview) is None


def masked(measure) -> list[Attacked]:
    """Dense, a model whose gradient is hidden (a stand-in fools it better), and a sound one."""
    hidden = attacked([True] * 100)
    through = attacked([True] * 40 + [False] * 60, variant="transfer", adaptive=False)
    return [
        (measure("dense", DENSE, knobs={}), [attacked([False] * 100)]),
        (measure(), [hidden, through]),
        (measure(gmacs=0.4), [attacked([False] * 100)]),
    ]


def test_signs_of_masking_are_said_of_the_record(measure) -> None:
    those = masked(measure)
    found = summarise([record for record, _ in those], results_of(*those))
    signs = [[text.partition(":")[0] for text in found[record.record_id].masking_signs] for record, _ in those]
    assert signs == [[], ["above-undefended", "transfer-stronger"], []]
    assert "masking until shown otherwise" in " ".join(Robustness.notes(board_of(*those)))


WITHOUT_TORCH = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "accelerate"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())
from dynvit.report import build_board, read_run
print(json.dumps([e.measurements["robustness"]["masking_signs"] for e in build_board(read_run(sys.argv[1])).entries]))
"""


def test_a_board_has_the_signs_of_masking_without_torch(measure, tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.jsonl") as runs, Robustness.store(tmp_path) as attacks:
        for record, results in masked(measure):
            runs.append(record)
            for result in results:
                config = {"attack": result.attack, "variant": result.variant}
                attacks.append(
                    FollowUp[RobustnessResult](
                        record_id=record.record_id,
                        key=follow_up_key(record.record_id, config),
                        config=config,
                        result=result,
                        environment=capture(),
                        command="dynvit bench",
                        git_sha=None,
                        date_utc=datetime(2026, 11, 21, tzinfo=UTC),
                        wall_s=1.0,
                    )
                )
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    signs = {len(said): " ".join(said) for said in json.loads(done.stdout)}
    assert signs.keys() == {0, 2}
    assert "masking until shown otherwise" in signs[2]
    assert "transfer-stronger" in signs[2]


def test_names_become_specifications_from_the_smallest_radius_up() -> None:
    specs = specs_of(["pgd", "fgsm"], eps=[0.02, 0.01], options={"pgd": ["steps=7"]})
    assert [(spec.name, spec.threat.eps) for spec in specs] == [
        ("pgd", 0.01),
        ("fgsm", 0.01),
        ("pgd", 0.02),
        ("fgsm", 0.02),
    ]
    assert search_spec(specs_of(["fgsm", "pgd"], eps=[0.01, 0.02, 0.04])) == specs_of(["pgd"], eps=[0.02])[0]
    assert len(specs_of(["imagenet-linf"])) == 10
    checks = list(masking_checks(specs, (8, 8)))
    assert [(check.name, check.threat.eps) for check in checks] == [("pgd", 0.02), ("square", 0.02), ("pgd", 0.5)]
    with pytest.raises(InputError, match=r"'mia-papre': did you mean 'mia-paper'"):
        specs_of(["mia-papre"])


def test_a_radius_is_written_as_the_field_does() -> None:
    assert [radius("linf", k / 255) for k in (0.25, 8)] == ["L∞ 0.25/255", "L∞ 8/255"]
