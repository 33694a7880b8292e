"""What is asked twice: flags over a suite, blocks beside flags, names given twice; and what nothing heeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dynvit
from dynvit.benchmark.config import load_config
from dynvit.benchmark.searches import Searches
from dynvit.errors import InputError
from dynvit.recipe import Recipe
from dynvit.report.listing import view_of
from dynvit.training.prepared import as_asked
from dynvit.training.request import TrainRequest

NESTED = "methods: topk\nrobustness: {attacks: [fgsm], limit: 8}\n"


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "nested.yaml").write_text(NESTED)
    return str(tmp_path / "nested.yaml")


def asked(suite: str | None, **given: Any) -> Any:
    return load_config(suite, given).measurements["robustness"]


def test_flags_beside_a_nested_block_win_over_what_it_says_and_leave_the_rest(suite: str) -> None:
    assert (asked(suite).attacks, asked(suite).limit) == (("fgsm",), 8)
    beside = asked(suite, eps="8/255")
    assert (beside.attacks, beside.limit, beside.eps) == (("fgsm",), 8, (8 / 255,))
    other = asked(suite, robustness="pgd")
    assert (other.attacks, other.limit) == (("pgd",), 8)
    assert asked(suite, robustness_limit=16).limit == 16
    assert "robustness" not in load_config(suite, {"robustness": False}).measurements


def test_a_block_and_flags_from_python_are_one(tmp_path: Path) -> None:
    both = asked(None, methods="topk", robustness={"attacks": ["fgsm"], "limit": 8}, eps="8/255")
    assert (both.limit, both.eps) == (8, (8 / 255,))


@pytest.mark.parametrize(
    "text", ["train-batch-size: 8\ntrain_batch_size: 16\n", "option: [a=1]\noptions: {a: [b=1]}\n"]
)
def test_a_suite_that_spells_one_option_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "twice.yaml").write_text(text)
    with pytest.raises(InputError, match="twice, by two spellings of its name: give it once"):
        load_config(str(tmp_path / "twice.yaml"), {})


def test_a_condition_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="--where method is given twice, as 'topk' and as 'dense'"):
        view_of("md", "", ["method=topk", "method=dense"], "", "")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trials": 5}, "--trials belongs to a search: add --sampler"),
        ({"sampler": "tpe", "budgets": "0.001"}, "--budgets belongs to budgets: leave out --sampler"),
        ({"sampler": "tpe", "solve": "accuracy"}, "--solve belongs to budgets: leave out --sampler"),
    ],
)
def test_options_of_a_search_and_of_budgets_are_not_mixed(given: dict[str, Any], says: str) -> None:
    config = load_config(None, given)
    with pytest.raises(InputError, match=says):
        Searches(config, None, None, Path(), ()).check()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["crop_pct", "interpolation", "rule", "limit"])
def test_a_training_takes_no_setting_of_measuring(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"unknown setting '{name}'"):
        dynvit.train("dense", tmp_path / "out", dataset="digits", **{name: 0.5})


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "give a batch size, or"), ({"batch_size": 32, "lr": 0.01}, "--lr says it already")],
)
def test_a_rate_is_scaled_by_a_batch_size_or_not_at_all(given: dict[str, Any], says: str) -> None:
    request = TrainRequest(method="dense", backbone="vit_digits", dataset="digits", scale_lr=True, **given)
    with pytest.raises(InputError, match=says):
        as_asked(Recipe(epochs=1, batch_size=8, lr=1e-3), request)
