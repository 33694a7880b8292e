"""The benchmarks' own arithmetic. What they measure is no test's business: a busy machine would fail it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from dynvit.bench.config import load_config
from dynvit.interface import methods

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SUITES = sorted((BENCHMARKS / "suites").glob("*.yaml"))
loads = st.lists(st.floats(0.1, 10.0), min_size=7, max_size=7)


@pytest.fixture(scope="module")
def script() -> Iterator[Callable[[str], ModuleType]]:
    """Scripts find each other in their own folder, as when they run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


class FakeMachine:
    """A clock that only work moves. Units: seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def work(self, *seconds: float) -> Callable[[], None]:
        """Takes each of ``seconds`` in turn, then the last for ever."""
        left = list(seconds)

        def call() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_a_speedup_is_a_ratio_of_neighbours(script):
    machine = FakeMachine()
    found = script("_measure").interleaved(machine.work(3.0), machine.work(2.0), rounds=5, most=9, clock=machine.clock)
    assert found.speedup == pytest.approx(1.5)
    assert len(found.rounds) == len(found.quiet) == 5


def test_rounds_in_which_the_base_was_slowed_do_not_count_and_others_are_run_instead(script):
    machine = FakeMachine()
    base, other = machine.work(3.0, 3.0, 9.0, 3.0), machine.work(2.0, 2.0, 2.0, 12.0, 2.0)
    found = script("_measure").interleaved(base, other, rounds=4, most=9, warmup=0, clock=machine.clock)
    assert (len(found.rounds), len(found.quiet)) == (6, 4)
    assert found.speedup == pytest.approx(1.5)


@given(loads)
def test_what_counts_is_as_quiet_as_the_best(script, seconds):
    measure, machine = script("_measure"), FakeMachine()
    found = measure.interleaved(machine.work(*seconds), machine.work(1.0), rounds=6, most=6, clock=machine.clock)
    best = min(min(turn.before, turn.after) for turn in found.rounds)
    assert all(max(turn.before, turn.after) <= measure.QUIET * best for turn in found.quiet)
    assert measure.rounds_row(found, 6).reached is (len(found.quiet) == 6)


def test_a_run_that_was_never_quiet_reaches_nothing(script):
    measure, machine = script("_measure"), FakeMachine()
    base = machine.work(*[float(2**n) for n in range(9)])
    found = measure.interleaved(base, machine.work(1.0), rounds=2, most=4, warmup=0, clock=machine.clock)
    assert found.speedup != found.speedup
    assert measure.rounds_row(found, 2).reached is False


@pytest.mark.parametrize(("reached", "code", "said"), [(True, 0, "ok"), (False, 1, "NOT REACHED"), (None, 0, "1.5")])
def test_a_number_that_is_not_reached_is_said_and_is_the_exit_code(script, capsys, reached, code, said):
    measure = script("_measure")
    with pytest.raises(typer.Exit) as end:
        measure.report("demo", [measure.Row("speed-up", "1.5", "≥ 2", reached)])
    assert end.value.exit_code == code
    assert said in capsys.readouterr().out


def test_deit_tiny_costs_what_the_table_says_executed_and_claimed(script):
    rows = list(script("macs").rows(only="deit_tiny"))
    assert len(rows) == 11
    assert [row for row in rows if not row.reached] == []


def test_a_table_that_is_wrong_by_a_thousandth_is_found(script, monkeypatch):
    macs = script("macs")
    monkeypatch.setattr(macs, "WANTED", {("deit_tiny_patch16_224", "dense"): {None: "1.255"}})
    assert [row.reached for row in macs.rows()] == [False]


def test_a_sweep_decodes_each_image_once(script, tmp_path):
    overhead = script("bench_overhead")
    config = load_config(None, {"methods": "topk", "dataset": "digits", "limit": 20, "points": 3, "batch_size": 8})
    found = overhead.sweep(config, tmp_path)
    assert (found.images, found.decoded, found.records) == (20, 20, 3)
    assert min(found.bench, found.bare) > 0


def test_the_bare_program_has_as_many_commands_as_it_is_told(script, tmp_path):
    text = script("help_time").bare_program(tmp_path, 7).read_text()
    assert text.count("@app.command()") == 7
    compile(text, "bare.py", "exec")


def test_dense_counts_within_two_tenths_of_a_point_are_reached(script):
    dense = script("imagenet_dense")

    def reached(right: int) -> bool | None:
        rank = np.full(1300, 7)
        rank[:right] = 0
        results = dense.SampleResults(tuple(map(str, range(1300))), rank, np.zeros(1300), 0.0)
        return dense.rows("validation", dense.KNOWN["validation"], results)[1].reached

    assert [reached(n) for n in (1058, 1059, 1061, 1063, 1064)] == [False, True, True, True, False]


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_a_suite_is_a_bench_of_registered_methods(suite):
    config = load_config(str(suite), {"limit": 10})
    assert set(config.methods) <= set(methods.names())
    assert config.limit == 10


def test_the_readme_names_every_script_and_suite():
    text = (BENCHMARKS / "README.md").read_text()
    scripts = [path for path in BENCHMARKS.glob("*.py") if not path.name.startswith("_")]
    assert [path.name for path in (*scripts, *SUITES) if path.name not in text] == []
