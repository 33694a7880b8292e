"""Setting models to budgets: by cost alone, or by accuracy; on the same images for every method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from bench_helpers import records, run_bench
from frozen_inputs import FROZEN, make_inputs
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from dynvit import cost
from dynvit.budgets import KnobSolver, _grid
from dynvit.calibration import calibration_batches
from dynvit.data import open_split
from dynvit.data.transforms import Preprocessing
from dynvit.errors import InputError
from dynvit.finite import NotFiniteError
from dynvit.interface import Batch, DynamicModel, OperatingPoint, Prediction, Usage
from dynvit.report import read_board
from dynvit.solving import ModelSolver, SearchedSolver, measured, solver_for
from dynvit.testing import Subject
from dynvit_methods.dvt import DVTOptions

KNOBS: Mapping[str, BaseDistribution] = {"width": IntDistribution(1, 9), "bias": FloatDistribution(0.0, 1.0)}


class TwoKnobs(DynamicModel):
    """Costs its width, and is right on more images the nearer its bias is to 0.3; by cost the bias stays at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 1)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        width, bias = int(point.number("width")), point.number("bias")
        share = (1 - abs(bias - 0.3)) * (0.5 + width / 18)
        labels, place = images[:, 0, 0, 0].long(), torch.linspace(0, 1, len(images))
        said = torch.where(place < share, labels, 1 - labels)
        return Prediction(
            nn.functional.one_hot(said, 2).float(), Usage(len(images), (cost.Linear("a", width, 10, 10),))
        )

    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return self(images, point)


def two_classes(labelled: bool = True) -> list[Batch]:
    labels = torch.arange(40) % 2
    images = labels[:, None, None, None].expand(40, 3, 2, 2).float()
    return [Batch(images, labels if labelled else torch.full_like(labels, -1), nn.functional.one_hot(labels).float())]


class Undefined(TwoKnobs):
    """Its logits are no numbers where its bias is below one half."""

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        found = super().forward(images, point)
        return Prediction(found.logits / float(point.number("bias") >= 0.5), found.usage)


BUDGETS = [150.0, 420.0, 900.0]


def test_a_search_for_accuracy_refuses_logits_that_are_no_numbers() -> None:
    model = Undefined()
    by_cost = KnobSolver(model, "width", KNOBS, two_classes())
    solver = SearchedSolver(by_cost, model, KNOBS, two_classes(), trials=16)
    with pytest.raises(NotFiniteError, match=r"logits of the model, while it is set to a budget, at .*bias="):
        solver.solve(BUDGETS)


def test_by_cost_a_budget_is_used_up_and_labels_are_not_looked_at() -> None:
    solver = solver_for(TwoKnobs(), "width", KNOBS, two_classes(labelled=False))
    assert isinstance(solver, KnobSolver)
    assert solver.by == "cost"
    assert [dict(point) for point in solver.solve(BUDGETS)] == [{"width": w, "bias": 1.0} for w in (1, 4, 9)]


def test_by_accuracy_a_model_of_several_knobs_is_searched_from_the_points_by_cost() -> None:
    model = TwoKnobs()
    by_cost, searched = (solver_for(model, "width", KNOBS, two_classes(), by, trials=48) for by in ("cost", "accuracy"))
    assert isinstance(searched, SearchedSolver)
    assert by_cost is not None
    assert searched.by == "accuracy"
    assert searched.range() == by_cost.range()
    points = searched.solve(BUDGETS)
    assert points == searched.solve(BUDGETS), "a search is seeded"
    better = 0
    for budget, plain, point in zip(BUDGETS, by_cost.solve(BUDGETS), points, strict=True):
        before, after = measured(model, plain, two_classes()), measured(model, point, two_classes())
        assert after.gmacs * 1e9 <= budget
        assert after.top1_pct >= before.top1_pct
        better += after.top1_pct > before.top1_pct
    assert better == len(BUDGETS)


def test_with_one_knob_a_budget_leaves_no_choice() -> None:
    subject = Subject.of("topk")
    knobs = subject.method.knobs(subject.options)
    solver = solver_for(subject.model(), "keep_ratio", knobs, [subject.batch()], "accuracy")
    assert isinstance(solver, KnobSolver)
    assert solver.by == "cost"


@pytest.mark.parametrize(
    ("knob", "known"),
    [
        (FloatDistribution(1e-7, 1e-4, log=True), {0: 1e-7, 5000: pytest.approx(10**-5.5, rel=1e-8), 10_000: 1e-4}),
        (FloatDistribution(1e-6, 2 / 3, log=True), {0: 1e-6, 10_000: 2 / 3}),
        (FloatDistribution(0.25, 1.0), {0: 0.25, 1: 0.250075, 9999: 0.999925, 10_000: 1.0}),
        (FloatDistribution(0.0, 2 / 3), {1: 6.7e-05, 9999: 0.6666, 10_000: 2 / 3}),
        (FloatDistribution(0.0, 1e-5), {1: 1e-9, 5000: 5e-6, 10_000: 1e-5}),
        (FloatDistribution(0.0, 1.0, step=0.1), {1: 0.1, 3: 0.3, 10: 1.0}),
    ],
)
def test_a_knob_is_stepped_over_all_of_its_range(knob: FloatDistribution, known: dict[int, float]) -> None:
    grid = _grid(knob)
    assert {place: grid[place] for place in known} == known
    assert len(set(grid)) == max(known) + 1
    assert all(knob.low <= value <= knob.high for value in grid)


def test_accuracy_wants_labels() -> None:
    with pytest.raises(InputError, match="takes calibration images with labels: give some, or solve by cost"):
        solver_for(TwoKnobs(), "width", KNOBS, two_classes(labelled=False), "accuracy")


def test_a_cascade_is_solved_by_shares_of_exits_or_by_accuracy() -> None:
    subject = Subject.of("dvt", options=DVTOptions(grids=(2, 4)), batch=32)
    model, knobs = subject.model(), {"threshold_1": FloatDistribution(0, 1), "threshold_2": FloatDistribution(0, 1)}
    batches = [subject.batch()]
    by_cost, by_accuracy = (solver_for(model, None, knobs, batches, by) for by in ("cost", "accuracy"))
    assert isinstance(by_cost, ModelSolver)
    assert isinstance(by_accuracy, ModelSolver)
    feasible = by_cost.range()
    budgets = torch.linspace(feasible.low, feasible.high, 7, dtype=torch.float64).tolist()
    plain, best = by_cost.solve(budgets), by_accuracy.solve(budgets)
    for budget, one, other in zip(budgets, plain, best, strict=True):
        spent = [measured(model, point, batches) for point in (one, other)]
        assert all(found.gmacs * 1e9 <= budget * (1 + 1e-9) for found in spent)
        assert spent[1].top1_pct >= spent[0].top1_pct
    unlabelled = [Batch(batch.images, torch.full_like(batch.labels, -1), batch.targets) for batch in batches]
    assert model.solve(budgets, unlabelled) == plain


@pytest.mark.parametrize("most", [1, 30, 10_000])
def test_calibration_images_are_the_same_fair_draw_for_every_model(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynvit.calibration.CALIBRATION_IMAGES", most)
    split = open_split("digits", "calibration", seed=0)
    cut = Preprocessing(8, 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)
    one, again, other = (
        calibration_batches(split, cut, 10, torch.device("cpu"), seed=seed, batch_size=size)
        for seed, size in ((0, 64), (0, 7), (1, 64))
    )
    images = [torch.cat([batch.images for batch in batches]) for batches in (one, again, other)]
    assert len(images[0]) == min(most, len(split))
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2]) == (most > len(split))
    assert all(batch.labelled for batch in one)


@pytest.mark.slow
@pytest.mark.parametrize("solve", ["cost", "accuracy"])
def test_a_row_says_what_it_was_solved_by_and_its_id_does_not(solve: str, tmp_path: Path) -> None:
    make_inputs(tmp_path)
    suite = yaml.safe_load((FROZEN / "suite.yaml").read_text())
    options = {name: suite[name] for name in ("dataset", "backbone", "points", "limit")}
    options |= {"methods": ["topk", "dvt"], "weights": str(tmp_path / "weights.safetensors"), "solve": solve}
    options |= {"method_checkpoint": {"dvt": [str(tmp_path / "dvt")]}, "output": str(tmp_path / "out")}
    run_bench(None, options)
    found = {record.record_id: record for record in records(tmp_path / "out")}
    assert {(record.method.name, record.point.solved_by) for record in found.values()} == {
        ("topk", "cost"),
        ("dvt", solve),
    }
    for entry in read_board(tmp_path / "out" / "leaderboard.json").entries:
        record = found[entry.record_id]
        assert entry.solved_by == record.point.solved_by
        anonymous = record.model_copy(update={"point": record.point.model_copy(update={"solved_by": None})})
        assert type(record).model_validate_json(anonymous.model_dump_json()).record_id == entry.record_id
