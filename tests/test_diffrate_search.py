"""DiffRate's search: what is searched on is what runs, it finds its target, and a checkpoint holds what it found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from training_helpers import Noise, accelerator, request, train_through_kills, weights_of

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from conformance_helpers import check_law
from dynvit import cost
from dynvit.backbones.build import BackboneSpec, build
from dynvit.checkpoint import load
from dynvit.cli import main
from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches
from dynvit.divisions import as_shared, shared_for
from dynvit.errors import InputError
from dynvit.interface import Batch, OperatingPoint
from dynvit.recipe import Situation
from dynvit.recipes import choose_recipe
from dynvit.session.dataset import find_dataset
from dynvit.testing import Law, Subject
from dynvit.testing.laws import (
    claimed_macs_are_executed,
    gradients_reach_every_trained_part,
    macs_fall_with_the_budget,
    results_do_not_depend_on_the_batch,
    saving_and_loading_changes_nothing,
)
from dynvit.training.request import RunSettings
from dynvit.training.run import train_to
from dynvit.training.trainer import TrainerSettings, TrainingSummary, train
from dynvit_methods.diffrate import DiffRate, DiffRateModel, DiffRateOptions
from dynvit_methods.diffrate.search import dense_macs, macs_of, searched, within
from dynvit_methods.diffrate.training import DIGITS, RECIPES, DiffRateRecipe, loss
from dynvit_methods.dynamicvit.recipes import DIGITS as ANOTHERS

PLAIN = DiffRateRecipe(epochs=2, batch_size=8, lr=0.2, min_lr=0.02, cost_weight=300.0)


def searching(target: float = 0.6, every: int = 1, registers: int = 0) -> DiffRateModel:
    torch.manual_seed(0)
    backbone = timm.create_model("vit_digits", num_classes=10, reg_tokens=registers)
    return DiffRateModel(backbone, DiffRateOptions(target=target, every=every)).double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def batch() -> Batch:
    labels = torch.arange(8)
    return Batch(images(8), labels, torch.eye(10, dtype=torch.float64)[labels])


def drawn(model: DiffRateModel, seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    model.search.logits.data = spread * torch.randn(model.search.logits.shape, generator=generator).double()


def run(model: DiffRateModel, recipe: DiffRateRecipe, steps: int = 10) -> TrainingSummary:
    stages = DiffRate().stages(model, recipe)
    return train(
        model.float(), stages, recipe, Noise(steps=steps), TrainerSettings(classes=10, quiet=True), accelerator()
    )


@pytest.mark.parametrize(
    ("seed", "spread", "every", "registers"), [(0, 0.0, 1, 0), (1, 4.0, 1, 0), (2, 8.0, 1, 2), (3, 4.0, 3, 0)]
)
@torch.no_grad()
def test_a_pass_with_masks_answers_and_costs_what_the_executed_one_does(
    seed: int, spread: float, every: int, registers: int
) -> None:
    model = searching(every=every, registers=registers)
    drawn(model, seed, spread)
    found = searched(model, images())
    model.search.counts.copy_(found.counts)
    ran = model.predict(images(), OperatingPoint(level=10))
    torch.testing.assert_close(found.logits, ran.logits, rtol=0, atol=1e-9)
    assert float(found.macs) == int(cost.macs(ran.usage)[0])
    assert found.counts.min() < 17


def test_tokens_are_merged_as_well_as_pruned() -> None:
    """Where fewer are kept after merging than after pruning, in the test above too."""
    model = searching()
    drawn(model, 1, 4.0)
    counts = model.search.expected().detach()
    assert (counts[:, 1] < counts[:, 0]).any()


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0, 8), st.integers(1, 5))
def test_counts_never_rise_and_the_first_block_keeps_all(seed: int, spread: float, every: int) -> None:
    model = searching(every=every)
    drawn(model, seed, spread)
    counts = model.search.expected().detach()
    in_order = [17, *counts.flatten().tolist()]
    assert all(later <= earlier for earlier, later in pairwise(in_order))
    assert torch.equal(counts, counts.round())
    assert counts[0].tolist() == [17, 17]
    assert counts.min() >= 2


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0, 8))
def test_the_chance_of_a_rank_falls_and_adds_up_to_the_expectation(seed: int, spread: float) -> None:
    model = searching()
    drawn(model, seed, spread)
    chances = model.search.kept().detach()
    assert (chances.diff(dim=-1) <= 1e-12).all()
    assert (chances[..., 0] == 1).all()
    mean = (model.search.probabilities() * model.search.candidates).sum(-1)
    torch.testing.assert_close(chances.sum(-1), mean + 1)


def test_counts_have_the_gradient_of_the_expectation() -> None:
    model = searching()
    [from_macs] = torch.autograd.grad(macs_of(model.vit, model.search.expected()), model.search.logits)
    # A choice of fewer tokens costs less, in every block, by pruning and by merging.
    assert (from_macs[..., 0] > 0).all()
    assert (from_macs[..., -1] < 0).all()
    [from_logits] = torch.autograd.grad(searched(model, images()).logits.square().sum(), model.search.logits)
    # After the last block's attention nothing attends any more: its counts are the cost's alone.
    assert (from_logits[:-1].abs().sum(-1) > 0).all()
    assert (from_logits[-1] == 0).all()


@given(st.lists(st.integers(2, 17), min_size=10, max_size=10), st.floats(0.35, 1.0))
@settings(max_examples=10)
def test_counts_within_a_target_are_as_many_as_it_allows(listed: list[int], target: float) -> None:
    model = searching()
    counts = torch.tensor([17, 17, *sorted(listed, reverse=True)]).view(6, 2)
    budget = target * dense_macs(model.vit)
    found = within(model.vit, counts, budget)
    assert float(macs_of(model.vit, found.double())) <= budget
    assert found[0].tolist() == [17, 17]
    assert (found.flatten().diff() <= 0).all()
    more = torch.cat([found[:1], (found[1:] + 1).clamp(max=17)])
    assert torch.equal(more, found) or float(macs_of(model.vit, more.double())) > budget


@pytest.mark.parametrize("target", [0.5, 0.8])
def test_a_search_ends_at_its_target_on_frozen_weights(target: float) -> None:
    model = searching(target)
    before = {name: tensor.clone() for name, tensor in model.float().backbone.state_dict().items()}
    assert model.search.found() == ((17,) * 6, (17,) * 6)
    done = run(model, PLAIN)
    assert [epoch.stage for epoch in done.history] == ["search", "search"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())
    assert model.trained_point is not None
    spent = int(cost.macs(model.predict(images(1).float(), model.trained_point).usage)) / dense_macs(model.vit)
    assert 0.96 * target < spent <= target
    assert done.history[-1].losses["target_gmacs"] == pytest.approx(target * dense_macs(model.vit) / 1e9)


def test_with_a_rate_for_the_weights_they_learn_at_what_was_found() -> None:
    model = searching()
    before = {name: tensor.clone() for name, tensor in model.float().backbone.state_dict().items()}
    done = run(model, replace(PLAIN, backbone_lr=1e-3), steps=8)
    assert [epoch.stage for epoch in done.history] == ["search", "search", "finetune", "finetune"]
    assert done.images_seen == 2 * 8 * 8
    assert any(not torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())
    assert min(model.search.found()[1]) < 17


def test_the_shared_recipe_gives_the_weights_its_rate_and_the_search_a_part_of_its_epochs() -> None:
    digits = Situation("vit_digits", "vit", "digits", 8)
    shared = as_shared(choose_recipe("diffrate", RECIPES, digits).recipe, shared_for(digits))
    assert isinstance(shared, DiffRateRecipe)
    assert (shared.backbone_lr, shared.lr) == (shared_for(digits).backbone_lr, DIGITS.lr)
    search, finetune = DiffRate().stages(searching(), shared)
    assert search.share + finetune.share == 1
    assert search.epochs == finetune.epochs == shared.epochs


@pytest.mark.parametrize(
    "law",
    [
        claimed_macs_are_executed,
        results_do_not_depend_on_the_batch,
        macs_fall_with_the_budget,
        saving_and_loading_changes_nothing,
        gradients_reach_every_trained_part,
    ],
    ids=lambda law: law.__name__,
)
def test_the_laws_hold_of_a_model_whose_counts_are_searched(law: Law) -> None:
    check_law(law, Subject.of("diffrate", options=DiffRateOptions(target=0.6)))


@torch.no_grad()
def test_levels_go_through_what_was_found_from_nothing_to_the_backbone() -> None:
    model = searching()
    model.search.counts.copy_(torch.tensor([[17, 17], [15, 13], [11, 9], [7, 6], [5, 4], [4, 3]]))
    assert model.plan(OperatingPoint(level=10)) == [None, (15, 13), (11, 9), (7, 6), (5, 4), (4, 3)]
    assert model.plan(OperatingPoint(level=20)) == [None] * 6
    assert model.neutral == OperatingPoint(level=20)
    spent = [int(cost.macs(model.predict(images(1), OperatingPoint(level=level)).usage)) for level in range(21)]
    assert spent == sorted(spent)
    assert spent[0] < 0.3 * spent[20]


def test_a_checkpoint_holds_what_was_found(tmp_path: Path) -> None:
    train_to(tmp_path / "m", request(None, method="diffrate", epochs=1, target=0.6))
    model, config = load(tmp_path / "m")
    assert isinstance(model, DiffRateModel)
    assert config.method.options["target"] == 0.6
    assert model.trained_point == OperatingPoint(level=10)
    assert min(model.search.found()[1]) < 17
    spent = int(cost.macs(model.predict(images(1).float(), model.trained_point).usage))
    assert 0.95 * 0.6 < spent / dense_macs(model.vit) <= 0.6


def test_a_search_that_is_killed_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiffRate, "recipes", {"digits": PLAIN})
    asked, quiet = request(None, method="diffrate", limit_train=32, target=0.6), RunSettings(state_every=0, quiet=True)
    train_to(tmp_path / "whole", asked, quiet)
    train_through_kills(monkeypatch, tmp_path / "killed", asked, (2, 6), quiet)
    assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "killed")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"target": 0.6, "prune": (17,) * 6, "merge": (17,) * 6},
            "prune and merge are your own counts, target has them",
        ),
        ({"target": 0.01}, r"a target of method diffrate on this backbone must be 0.\d+ to 1 of .*got 0.01"),
        ({"target": 1.01}, "got 1.01"),
        ({"target": float("nan")}, "got nan"),
        ({"target": 0.6, "every": 0}, "every must be at least 1, got 0"),
        ({"target": 0.6, "cost_weight": -1.0}, "cost_weight must be at least 0, got -1"),
        ({"target": 0.6, "cost_weight": float("nan")}, "cost_weight must be at least 0, got nan"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        DiffRateModel(build(BackboneSpec("vit_digits", num_classes=10)), DiffRateOptions(**options))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_training_without_a_target_or_by_anothers_recipe_is_refused() -> None:
    backbone = build(BackboneSpec("vit_digits", num_classes=10))
    with pytest.raises(InputError, match="searching counts for a target: give --target"):
        DiffRate().stages(DiffRateModel(backbone, DiffRateOptions()), PLAIN)
    with pytest.raises(InputError, match="method diffrate trains with its own recipes: imagenet, digits"):
        DiffRate().stages(searching(), ANOTHERS)


def test_a_bench_says_so_before_anything_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "--dataset", "digits", "--methods", "dense,diffrate", "--division", "fine-tuned"]
    assert main([*asked, "-o", str(tmp_path / "out")]) == 2
    assert "searching counts for a target" in capsys.readouterr().err
    assert not (tmp_path / "out" / "train").exists()


def test_the_cost_pulls_towards_the_target_from_either_side() -> None:
    model = searching(0.6)
    for spread, sign in ((-4.0, -1), (4.0, 1)):
        model.search.logits.data = torch.zeros_like(model.search.logits)
        model.search.logits.data[..., -1 if sign < 0 else 0] = abs(spread)
        found = loss(model, batch(), 0.6, 1e6)
        [gradient] = torch.autograd.grad(found.total, model.search.logits)
        assert sign * float(gradient[1, 1, 0]) > 0
        assert sign * (float(found.parts["gmacs"]) - float(found.parts["target_gmacs"])) > 0


@pytest.mark.slow
def test_on_digits_what_a_search_finds_answers_better_than_the_counts_it_began_with(tmp_path: Path) -> None:
    """On images that it has not seen, at the same cost, with the same weights."""
    train_to(tmp_path / "dense", request(None, method="dense", limit_train=None))
    start = str(tmp_path / "dense")
    train_to(tmp_path / "m", request(None, method="diffrate", limit_train=None, weights=start, target=0.6))
    model, config = load(tmp_path / "m")
    assert isinstance(model, DiffRateModel)
    source = open_split(find_dataset("digits"), "validation")
    batches = list(PixelBatches(source, config.preprocessing))

    @torch.no_grad()
    def mean_loss(counts: Tensor) -> float:
        model.search.counts.copy_(counts)
        each = []
        for batch in batches:
            logits = model.predict(batch.images.float() / 255, OperatingPoint(level=10)).logits
            each.append(F.cross_entropy(logits, batch.labels, reduction="none"))
        return float(torch.cat(each).mean())

    alike = within(model.vit, torch.tensor([17, 17] + [10] * 10).view(6, 2), 0.6 * dense_macs(model.vit))
    found = model.search.counts.clone()
    assert mean_loss(found) < 0.85 * mean_loss(alike)
    assert (found[:, 1] < found[:, 0]).any(), "some tokens are merged"
