"""The benchmarks' own arithmetic. What they measure is no test's business: a busy machine would fail it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
from speed_helpers import FakeMachine

from dynvit.benchmark.config import load_config
from dynvit.interface import methods

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SUITES = sorted((BENCHMARKS / "suites").glob("*.yaml"))


@pytest.fixture(scope="module")
def script() -> Iterator[Callable[[str], ModuleType]]:
    """Scripts find each other in their own folder, as when they run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.mark.parametrize(("times", "reached"), [([3.0], True), ([float(2**n) for n in range(9)], False)])
def test_a_run_with_too_few_quiet_rounds_reaches_nothing(script, times, reached):
    measure, machine = script("_measure"), FakeMachine()
    base = machine.work(*times)
    found = measure.interleaved(base, machine.work(1.0), rounds=2, most=4, warmup=0, clock=machine.clock)
    assert measure.rounds_row(found, 2).reached is reached


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
