"""A dry run: what a training will do and take, told from a few of its steps, with nothing written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import SMALL
from training_helpers import request

from dynvit.api.benching import plan_bench, plan_lines
from dynvit.errors import InputError
from dynvit.training import forecast as module
from dynvit.training.command import forecast_train
from dynvit.training.forecast import Forecast, forecast
from dynvit.training.request import RunSettings
from dynvit.training.run import train_to

pytestmark = pytest.mark.slow

QUIET = RunSettings(quiet=True)


@pytest.fixture(scope="module")
def mia() -> Forecast:
    return forecast(
        request("digits", method="mia", target=0.7, limit_train=48, batch_size=16),
        RunSettings(quiet=True, accumulate=2),
    )


def test_a_forecast_says_recipe_data_batch_stages_time_and_memory(mia: Forecast) -> None:
    lines = list(mia.lines())
    said = "\n".join(lines)
    assert lines[0] == "train mia for 0.7 of dense on digits: vit_digits"
    assert "recipe digits: asked for" in said
    assert "48 images of train, 143 held out" in said
    assert "batch 16 in 2 pieces, 3 steps an epoch" in said
    for stage, most, epochs in (("keep", "at most ", 5), ("co-train", "", 10), ("agents", "", 3), ("hybrid", "", 7)):
        assert f"stage {stage}: {most}{epochs} epochs, {3 * epochs} steps of" in said
    assert "lr controllers 0.004, backbone 0.001" in said
    assert "MiB on cpu, from 3 steps of 8 images" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_a_forecast_adds_up_its_stages(mia: Forecast) -> None:
    assert all(stage.step_s > 0 and stage.bytes and stage.bytes > 0 for stage in mia.stages)
    assert mia.stages[1].seconds == pytest.approx(10 * 3 * mia.stages[1].step_s)


def test_larger_steps_are_told_from_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request("digits", method="dense", limit_train=200)
    whole = forecast(asked, QUIET)
    monkeypatch.setattr(module, "WORK", 16 * 2_060_000)
    part = forecast(asked, QUIET)
    assert (whole.timed_images, part.timed_images) == (64, 16)
    assert part.steps == whole.steps == 3
    assert whole.stages[0].bytes is not None
    assert part.stages[0].bytes == pytest.approx(whole.stages[0].bytes, rel=0.2)


def test_a_dry_run_writes_nothing_and_knows_what_lies_there(tmp_path: Path) -> None:
    given: dict[str, Any] = {"method": "dense", "dataset": "digits", "epochs": 1, "limit_train": 64}
    given |= {"output": str(tmp_path / "out"), "backbone": "vit_digits"}
    lines = list(forecast_train(given, "x"))
    assert "  recipe digits: it is for digits" in lines
    assert lines[-1].endswith("out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="a step must have at most the 64 images"):
        list(forecast_train({**given, "batch_size": 65}, "x"))


def test_a_bench_tells_of_each_training_why_it_has_its_recipe(tmp_path: Path) -> None:
    options: dict[str, Any] = {**SMALL, "output": str(tmp_path / "out"), "methods": ("dense", "topk", "dynamicvit")}
    options |= {"limit_train": 64, "train_batch_size": 16, "scale_lr": True, "accumulate": 2}
    lines = list(plan_lines(plan_bench(None, options)))
    assert [line for line in lines if line.startswith("train ")] == [
        "train dense on digits: vit_digits",
        "train dynamicvit on digits: vit_digits",
    ]
    assert lines.count("  recipe digits: it is for digits") == 2
    assert lines.count("  batch 16 in 2 pieces, 4 steps an epoch") == 2
    assert any(line.endswith("lr 0.001") for line in lines)  # a quarter of the recipe's 4e-3
    assert not (tmp_path / "out").exists()


def test_a_bench_trains_as_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {**SMALL, "output": str(tmp_path / "out"), "methods": ("dense", "dynamicvit")}
    options |= {"lr": 0.01, "train_batch_size": 32, "limit_train": 64, "accumulate": 2, "on_bad_sample": "skip"}
    preparation = plan_bench(None, options).preparation
    asked = preparation.trainings._request("dynamicvit", {}, None)
    assert (asked.lr, asked.batch_size, asked.limit_train, asked.recipe) == (0.01, 32, 64, "digits")
    settings = preparation.trainings._settings("c")
    assert (settings.accumulate, settings.on_bad_sample, settings.command) == (2, "skip", "c")


def test_what_a_bench_does_not_train_it_says(tmp_path: Path) -> None:
    made = train_to(tmp_path / "dense", request("digits", method="dense", epochs=1), QUIET)
    options: dict[str, Any] = {"output": str(tmp_path / "out"), "weights": str(made), "train": True}
    with pytest.warns(UserWarning, match="nothing is trained, for dense, topk are measured with the weights"):
        plan_bench(None, {**options, "methods": ("dense", "topk")})
    planned = plan_bench(None, {**options, "methods": ("dense", "dynamicvit")}).preparation.planned
    assert [one.trained for one in planned] == [False, True]
    asked = {"targets": (0.5,), "seeds": (0, 1), "epochs": 3, "train": None, "mixed_precision": "bf16"}
    with pytest.warns(UserWarning, match="^--targets, --seeds, --epochs, --mixed-precision: nothing is trained, for"):
        plan_bench(None, {**options, **asked, "methods": ("dense", "topk")})


def test_a_backbone_that_no_model_has_is_not_trained(tmp_path: Path) -> None:
    made = train_to(tmp_path / "dense", request("digits", method="dense", epochs=1), QUIET)
    options: dict[str, Any] = {"methods": ("dense",), "method_checkpoint": {"dense": (str(made),)}, "train": True}
    with pytest.warns(UserWarning, match="--train: nothing is trained, for dense is measured"):
        preparation = plan_bench(None, {**options, "dataset": "digits", "output": str(tmp_path / "out")}).preparation
    assert not preparation.trains_backbone


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"methods": ("dense", "topk"), "train": True, "targets": (0.5,)}, "--targets: of dense, topk nothing is"),
        ({"methods": ("dense", "dvt"), "division": "fine-tuned", "targets": (0.5,)}, "--targets: of dense, dvt noth"),
        ({"methods": ("dense", "topk"), "train": True, "seeds": (0, 1)}, "--seeds: of dense, topk nothing is trained"),
    ],
)
def test_what_no_training_of_a_bench_would_heed_is_refused(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan_bench(None, {**given, "dataset": "digits", "output": str(tmp_path / "out")})


def test_a_method_with_a_recipe_is_trained_on_request_though_it_must_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    from dynvit.interface import Recipe, methods

    topk = methods.get("topk")
    monkeypatch.setattr(topk, "recipes", {"any": Recipe(epochs=1, batch_size=8, lr=1e-3)})
    monkeypatch.setattr(topk, "stages", lambda self, model, recipe: ())
    for asked, trained in ((True, True), (None, False)):
        planned = plan_bench(None, {"methods": ("dense", "topk"), "train": asked}).preparation.planned
        assert [one.trained for one in planned] == [False, trained]
    assert replace(planned[0], trained=True).label == "dense"
