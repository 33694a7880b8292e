"""An entry's name tells it from all others of its method, and stays short."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dynvit.interface import PointToSay, methods, register_wording
from dynvit.leaderboard.naming import point_in_words, point_names
from dynvit.report import RunData, build_board
from dynvit.wording import wordings


def test_a_point_is_called_by_what_tells_it_apart(measure) -> None:
    one = measure("topk", 0.8, knobs={"keep_ratio": 0.70004})
    static = measure("dense", 1.2537, knobs={})
    solved = measure("dvt", 0.5, knobs={"threshold_1": 0.5, "threshold_2": 0.25})
    solved = solved.model_copy(update={"point": solved.point.model_copy(update={"target_gmacs": 0.51})})
    given = measure("dvt", 0.4, knobs={"threshold_1": 0.5, "threshold_2": 0.25, "extra": "x"})
    names = point_names(build_board(RunData([one, static, solved, given])))
    assert names == {
        one.record_id: "keep 0.70",
        static.record_id: "static",
        solved.record_id: "exits ≥ .50, .25",
        given.record_id: "extra x, threshold .50, .25",
    }


def test_checkpoints_of_one_method_are_told_apart_by_the_options_that_differ(measure) -> None:
    trained = [measure("mia", gmacs, knobs={"gate": gmacs}) for gmacs in (0.5, 0.6, 0.7)]
    with_options = [
        record.model_copy(update={"method": record.method.model_copy(update={"options": {"target": t, "pool": 4}})})
        for record, t in zip(trained, (0.5, 0.7, 0.7), strict=True)
    ]
    names = point_names(build_board(RunData(with_options)))
    assert list(names.values()) == ["target 0.5, gate 0.50", "target 0.7, gate 0.60", "target 0.7, gate 0.70"]


@pytest.mark.parametrize(
    ("method", "knobs", "options", "said"),
    [
        ("dynamicvit", {"keep_ratio": 0.7}, {}, "keep 0.70"),
        ("tome", {"r": 8}, {}, "r 8"),
        ("dvt", {"threshold_1": 0.83, "threshold_2": 0.71}, {"criterion": "confidence"}, "exits ≥ .83, .71"),
        ("dvt", {"threshold_1": 1.0}, {"criterion": "random"}, "exits ≥ 1.00 by random"),
        ("thinkingvit", {"threshold_1": 1.25}, {}, "exits < 1.25 nats"),
        ("mia", {"depth_threshold": 0.5, "head_threshold": 0.0}, {}, "gates ≥ .50, all heads"),
        ("mia", {"depth_threshold": 0.5, "head_threshold": 0.5, "token_threshold": 0.5}, {}, "gates ≥ .50"),
        ("adavit", {"layer_threshold": 0.0, "head_threshold": 0.0}, {}, "all kept"),
        ("mia", {"gate": 0.5}, {}, "gate 0.50"),  # of another version
        ("ats", {"samples": 99}, {}, "99 samples"),
        ("depth", {"blocks": 7}, {}, "7 blocks"),
        ("resolution", {"size": 160}, {}, "160 pixels"),
        ("nobody's", {"merge_rate_2": 0.25, "merge_rate_1": 0.5, "form": "mean"}, {}, "form mean, merge .50, .25"),
    ],
)  # fmt: skip
def test_a_point_is_said_in_the_words_of_its_method(method: str, knobs, options, said: str) -> None:
    assert point_in_words(method, knobs, options) == said


def test_a_third_decimal_is_shown_where_two_leave_points_alike(measure) -> None:
    close = [measure("topk", gmacs, knobs={"keep_ratio": keep}) for gmacs, keep in ((0.8, 0.701), (0.81, 0.704))]
    apart = measure("evit", 0.8, knobs={"keep_ratio": 0.701})
    names = point_names(build_board(RunData([*close, apart])))
    assert sorted(names.values()) == ["keep 0.70", "keep 0.701", "keep 0.704"]


def test_every_wording_is_of_a_method_that_there_is() -> None:
    assert set(wordings.load_all()) <= set(methods.names())


def test_a_plug_in_words_its_points_itself(monkeypatch) -> None:
    monkeypatch.setattr(wordings, "_registered", dict(wordings._registered))
    register_wording("half")(lambda point: f"every {point.knobs['stride']}th patch\x1b")
    assert point_in_words("half", {"stride": 4}, {}) == "every 4th patch\\x1b"
    assert point_in_words("half", {"other": 4}, {}) == "other 4"


VALUES = some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(max_size=9)
NAMES = some.sampled_from(["keep_ratio", "threshold_1", "threshold_2", "depth_threshold", "_1", "_ratio"]) | some.text(
    min_size=1, max_size=9
)


@given(some.sampled_from(["dvt", "mia", "ats", "depth", "who"]), some.dictionaries(NAMES, VALUES, min_size=1))
def test_whatever_a_board_holds_is_said_in_one_line(method: str, knobs) -> None:
    said = point_in_words(method, json.loads(json.dumps(knobs)), {})
    assert len(said.splitlines()) <= 1
    assert "\x1b" not in said


@given(some.floats(-1, 1), some.integers(1, 4))
def test_a_number_is_as_near_as_its_decimals_say(value: float, decimals: int) -> None:
    shown = PointToSay({"x": value}, {}, decimals)
    assert float(shown.number("x")) == pytest.approx(value, abs=0.5 * 10**-decimals + 1e-12)
    assert float(shown.share("x")) == float(shown.number("x"))
