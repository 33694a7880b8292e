"""An entry's name tells it from all others of its method, and stays short."""

from __future__ import annotations

from dynvit.leaderboard.naming import point_names
from dynvit.report import RunData, build_board


def test_a_point_is_called_by_what_tells_it_apart(measure) -> None:
    one = measure("topk", 0.8, knobs={"keep_ratio": 0.70004})
    static = measure("dense", 1.2537, knobs={})
    solved = measure("dvt", 0.5, knobs={"threshold_1": 0.5, "threshold_2": 0.25})
    solved = solved.model_copy(update={"point": solved.point.model_copy(update={"target_gmacs": 0.51})})
    given = measure("dvt", 0.4, knobs={"threshold_1": 0.5, "threshold_2": 0.25, "extra": "x"})
    names = point_names(build_board(RunData([one, static, solved, given])))
    assert names == {
        one.record_id: "keep_ratio=0.7",
        static.record_id: "static",
        solved.record_id: "budget 0.51",
        given.record_id: "extra=x threshold_1=0.5 threshold_2=0.25",
    }


def test_checkpoints_of_one_method_are_told_apart_by_the_options_that_differ(measure) -> None:
    trained = [measure("mia", gmacs, knobs={"gate": gmacs}) for gmacs in (0.5, 0.6, 0.7)]
    with_options = [
        record.model_copy(update={"method": record.method.model_copy(update={"options": {"target": t, "pool": 4}})})
        for record, t in zip(trained, (0.5, 0.7, 0.7), strict=True)
    ]
    names = point_names(build_board(RunData(with_options)))
    assert list(names.values()) == ["target=0.5 gate=0.5", "target=0.7 gate=0.6", "target=0.7 gate=0.7"]
