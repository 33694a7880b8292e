"""From attacks to a column: the worst image by image, the front of three objectives, signs of masking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynvit.errors import InputError
from dynvit.leaderboard.build import build
from dynvit.leaderboard.per_sample import pack, unpack
from dynvit.leaderboard.record import Record, RobustnessRecord
from dynvit.measurements.robustness.masking import with_findings
from dynvit.measurements.robustness.specs import masking_checks, search_trial, trials_of
from dynvit.measurements.robustness.summary import robust_entries, saving_lost_pct, slowdown_entries
from dynvit.measurements.robustness.table import findings, radius, robust_table

DENSE = 1.2537


def attacked(right: list[bool], eps: float = 4 / 255, **fields: Any) -> RobustnessRecord:
    given = {"attack": "pgd", "variant": "adaptive", "goal": "misclassify", "settings": {"steps": 20}, "norm": "linf"}
    return RobustnessRecord(
        **{
            **given,
            "threat": "white-box",
            "eps": eps,
            "adaptive": True,
            "n": len(right),
            "accuracy_pct": 100 * sum(right) / len(right),
            "gmacs_mean_under_attack": 0.8,
            "clean_accuracy_pct": 100.0,
            "clean_gmacs_mean": 0.7,
            "images": "0" * 16,
            "right": pack(np.array(right)),
            **fields,
        }
    )


def under(record: Record, *attacks: RobustnessRecord) -> Record:
    return record.model_copy(update={"robustness": attacks})


ANSWERS = st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=5)


@given(ANSWERS, st.data())
def test_an_image_counts_if_it_survives_all_of_its_ball_and_of_smaller_ones(measure, answers, data) -> None:
    radii = data.draw(st.lists(st.sampled_from([0.01, 0.02, 0.03]), min_size=len(answers), max_size=len(answers)))
    entries = robust_entries(under(measure(), *map(attacked, answers, radii)))
    assert [entry.eps for entry in entries] == sorted(set(radii))
    for entry in entries:
        within = [answer for answer, eps in zip(answers, radii, strict=True) if eps <= entry.eps]
        assert entry.accuracy_pct == pytest.approx(100 * np.logical_and.reduce(within).mean())
        assert entry.ci95_low_pct <= entry.accuracy_pct <= entry.ci95_high_pct
    assert sorted((e.accuracy_pct for e in entries), reverse=True) == [e.accuracy_pct for e in entries]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_come_back(right: list[bool]) -> None:
    assert unpack(pack(np.array(right)), len(right)).tolist() == right


def test_what_cannot_be_compared_is_not_joined(measure) -> None:
    few = attacked([False] * 4, images="f" * 16)
    many, unbounded = attacked([True] * 8), attacked([False] * 8, eps=0.5)
    slow = attacked([False] * 8, goal="slowdown")
    [entry] = robust_entries(under(measure(), few, many, unbounded, slow))
    assert (entry.n, entry.accuracy_pct, entry.attacks) == (8, 100.0, 1)


def test_a_slowdown_that_keeps_the_label_is_a_slowdown(measure) -> None:
    free = attacked([True] * 4, goal="slowdown", gmacs_mean_under_attack=0.9, saving_taken_back_pct=20.0)
    kept = attacked([True] * 4, goal="slowdown-keep-label", gmacs_mean_under_attack=1.0, saving_taken_back_pct=30.0)
    found = slowdown_entries(under(measure(), free, kept))
    assert [(slow.keep_label, slow.gmacs_mean) for slow in found] == [(False, 1.0), (True, 1.0)]
    assert saving_lost_pct(1.5, 0.5, 1.0) == 200.0
    assert saving_lost_pct(1.0, 1.0, 1.0) is None


def test_the_front_of_three_keeps_what_is_only_robust(measure) -> None:
    """Two points that two objectives would throw out: one is the most robust, the other nothing."""
    best = under(measure(gmacs=0.5, correct=4000), attacked([True, False, False, False]))
    robust = under(measure(gmacs=0.8, correct=3000), attacked([True, True, True, False]))
    neither = under(measure(gmacs=0.9, correct=2900), attacked([True, True, False, False]))
    plain = measure(gmacs=0.1, correct=2000)
    board = build([best, robust, neither, plain])
    [front] = board.robust_fronts
    assert set(front.front) == {best.record_id, robust.record_id}
    assert front.n_entries == 3
    # Two boxes that share a corner: accuracy above chance (0.1 %) times saved GMACs times robust accuracy.
    one, two = (79.9 * (DENSE - 0.5) * 25, 59.9 * (DENSE - 0.8) * 75)
    assert front.hypervolume == pytest.approx(one + two - 59.9 * (DENSE - 0.8) * 25)
    table = robust_table(board)
    assert table is not None
    assert table.row_count == 3
    assert robust_table(build([plain])) is None


def test_signs_of_masking_are_said_of_the_record(measure) -> None:
    dense = under(measure("dense", DENSE, knobs={}), attacked([False] * 100))
    hidden = attacked([True] * 100)
    through = attacked([True] * 40 + [False] * 60, variant="transfer", adaptive=False)
    odd, sound = under(measure(), hidden, through), under(measure(gmacs=0.4), attacked([False] * 100))
    records = with_findings([dense, odd, sound])
    signs = [[text.partition(":")[0] for text in record.findings] for record in records]
    assert signs == [[], ["above-undefended", "transfer-stronger"], []]
    assert "masking until shown otherwise" in " ".join(findings(build(records)))


def test_names_become_trials_from_the_smallest_radius_up() -> None:
    trials = trials_of(["pgd", "fgsm"], eps=[0.02, 0.01], options={"pgd": ["steps=7"]})
    assert [(trial.name, trial.threat.eps) for trial in trials] == [
        ("pgd", 0.01),
        ("fgsm", 0.01),
        ("pgd", 0.02),
        ("fgsm", 0.02),
    ]
    assert search_trial(trials_of(["fgsm", "pgd"], eps=[0.01, 0.02, 0.04])) == trials_of(["pgd"], eps=[0.02])[0]
    assert len(trials_of(["imagenet-linf"])) == 10
    checks = list(masking_checks(trials, (8, 8)))
    assert [(check.name, check.threat.eps) for check in checks] == [("pgd", 0.02), ("square", 0.02), ("pgd", 0.5)]
    with pytest.raises(InputError, match=r"'mia-papre': did you mean 'mia-paper'"):
        trials_of(["mia-papre"])


def test_a_radius_is_written_as_the_field_does() -> None:
    assert [radius("linf", k / 255) for k in (0.25, 8)] == ["L∞ 0.25/255", "L∞ 8/255"]
