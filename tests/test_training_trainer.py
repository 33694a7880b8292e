"""What the loop promises a method: its stages, its groups, its rates, and a stop when a loss is lost."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from training_helpers import POINT, Noise, TinyModel, TinyOptions, accelerator, branch, loss, request, stage

from dynvit.backbones.build import BackboneSpec, build
from dynvit.errors import InputError
from dynvit.interface import Augment, Batch, DynamicModel, Losses, ParamGroup, Recipe, Stage
from dynvit.schedules import constant, cosine, linear
from dynvit.training.averaging import WeightAverage
from dynvit.training.mixing import Mixer, split
from dynvit.training.run import train_to
from dynvit.training.trainer import TrainerSettings, TrainingDivergedError, TrainingSummary, train

RECIPE = Recipe(epochs=2, batch_size=8, lr=1e-3)


def tiny(dropout: float = 0.0) -> TinyModel:
    torch.manual_seed(0)
    return TinyModel(build(BackboneSpec("vit_digits", num_classes=10)), TinyOptions(dropout))


def everything(model: DynamicModel) -> list[ParamGroup]:
    return [ParamGroup("all", list(model.parameters()), 1e-3)]


def run(model: DynamicModel, stages: Sequence[Stage], recipe: Recipe = RECIPE, **more: object) -> TrainingSummary:
    settings = TrainerSettings(classes=10, quiet=True, **more)  # type: ignore[arg-type]
    return train(model, stages, recipe, Noise(), settings, accelerator())


def test_only_what_stands_in_a_group_changes() -> None:
    model = tiny()
    before = copy.deepcopy(model.state_dict())
    run(model, [stage("branch", 2, branch)])
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if name.startswith("branch.")}
    assert all(p.requires_grad for p in model.parameters())


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    model = tiny()
    model.backbone.head = nn.Sequential(nn.BatchNorm1d(48), model.backbone.head)  # type: ignore[arg-type]
    before = copy.deepcopy(model.backbone.state_dict())
    run(model, [stage("branch", 1, branch)])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())


def test_stages_follow_each_other_and_until_ends_one() -> None:
    began: list[str] = []
    stages = [
        stage("first", 5, branch, begin=lambda _: began.append("first"), until=lambda _: True),
        stage("second", 2, everything, begin=lambda _: began.append("second"), optimizer="sgd"),
    ]
    summary = run(tiny(), stages)
    assert began == ["first", "second"]
    assert [(entry.stage, entry.epoch) for entry in summary.history] == [("first", 0), ("second", 0), ("second", 1)]


def test_a_stage_ends_with_what_its_last_step_left_before_the_next_begins() -> None:
    seen: list[tuple[str, torch.Tensor]] = []

    def note(what: str) -> Callable[[DynamicModel], None]:
        return lambda model: seen.append((what, model.get_parameter("branch.0.weight").detach().clone()))

    model = tiny()
    stages = [stage(name, 2, branch, begin=note(f"{name} begins"), end=note(f"{name} ends")) for name in ("a", "b")]
    run(model, stages, replace(RECIPE, ema_decay=0.5))
    assert [what for what, _ in seen] == ["a begins", "a ends", "b begins", "b ends"]
    begun, a_left, b_began, b_left = (weights for _, weights in seen)
    assert torch.equal(a_left, b_began)
    assert torch.equal(b_left, model.branch[0].weight)  # the averaged ones, which the stage hands on
    assert not torch.equal(begun, a_left)


def test_a_share_makes_epochs_short_and_no_two_of_them_alike() -> None:
    seen: list[Tensor] = []

    def watched(model: nn.Module, batch: Batch) -> Losses:
        seen.append(batch.images[:, 0, 0, 0])
        return loss(model, batch)

    law = linear()
    groups = [ParamGroup("all", list((model := tiny()).parameters()), 0.1, schedule=law)]
    summary = run(model, [stage("short", 3, lambda _: groups, watched, share=0.5)])
    assert len(seen) == summary.epochs == 3
    assert not torch.equal(seen[0], seen[1])
    assert [entry.lr["all"] for entry in summary.history] == pytest.approx([0.1, 0.1 * 2 / 3, 0.1 / 3])


def test_each_group_has_its_own_rate_by_its_own_law() -> None:
    model = tiny()
    groups = [
        ParamGroup("head", list(model.backbone.head.parameters()), 0.1, schedule=linear()),  # type: ignore[union-attr]
        ParamGroup("branch", list(model.branch.parameters()), 0.01),
    ]
    last = run(model, [stage("both", 2, lambda _: groups)]).history[-1]
    assert last.lr == pytest.approx({"head": 0.1 * (1 - 1.5 / 2), "branch": 0.01})


def test_a_frozen_teacher_is_read_and_not_trained() -> None:
    teacher = nn.BatchNorm1d(10)

    def distil(model: nn.Module, batch: Batch) -> Losses:
        assert not teacher.training
        value = loss(model, batch).total
        return Losses(value + teacher(batch.targets).sum())

    before = copy.deepcopy(teacher.state_dict())
    run(tiny(), [stage("distil", 1, branch, distil, frozen=[teacher])])
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())


@pytest.mark.slow
def test_a_batch_in_pieces_trains_as_the_batch_does() -> None:
    whole, pieces = tiny(), tiny()
    run(whole, [stage("all", 2, everything, optimizer="sgd")])
    run(pieces, [stage("all", 2, everything, optimizer="sgd")], accumulate=3)
    torch.testing.assert_close(pieces.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-6)


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Precision is one a process; tests are many."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_accelerate")
def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []

    def watch(model: nn.Module, batch: Batch) -> Losses:
        losses = loss(model, batch)
        seen.append(model(batch.images, POINT).logits.dtype)
        return losses

    model, settings = tiny(), TrainerSettings(classes=10, quiet=True)
    mixed = Accelerator(cpu=True, mixed_precision="bf16")
    summary = train(model, [stage("all", 1, everything, watch)], RECIPE, Noise(), settings, mixed)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert summary.metrics["total"] == pytest.approx(run(tiny(), [stage("all", 1, everything)]).metrics["total"], 0.05)


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_second_precision_in_one_process_is_refused(tmp_path: Path) -> None:
    accelerator()
    with pytest.raises(InputError, match="mixed precision bf16"):
        train_to(tmp_path / "out", request("plain", mixed_precision="bf16"))
    assert not (tmp_path / "out").exists()


def test_a_batch_that_uses_no_trained_parameter_is_a_step_without_change() -> None:
    class Dark(Noise):
        def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
            return ((images * 0, labels) for images, labels in super().epoch(epoch, start))

    model = tiny()
    before = copy.deepcopy(model.state_dict())
    recipe, settings = Recipe(epochs=1, batch_size=8, lr=1e-3, clip_grad=1.0), TrainerSettings(classes=10, quiet=True)
    train(model, [stage("branch", 1, branch)], recipe, Dark(), settings, accelerator())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_with_stage_step_and_checkpoint(tmp_path: Path, accumulate: int) -> None:
    calls = 0

    def burst(model: nn.Module, batch: Batch) -> Losses:
        nonlocal calls
        calls += 1
        value = loss(model, batch).total
        return Losses(value * math.nan if calls > 6 * accumulate else value)

    state = tmp_path / "state.pt"
    with pytest.raises(TrainingDivergedError, match=r"stage 'all' is not finite at step 7 \(epoch 4\): .*state.pt"):
        run(tiny(), [stage("all", 9, everything, burst)], state=state, state_every=0, accumulate=accumulate)
    assert state.is_file()


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    def root_of_zero(model: nn.Module, batch: Batch) -> Losses:
        return Losses((loss(model, batch).total * 0).sqrt())  # finite, with an infinite slope

    state = tmp_path / "state.pt"
    with pytest.raises(TrainingDivergedError, match="no checkpoint was written yet"):
        run(tiny(), [stage("all", 1, everything, root_of_zero)], state=state, state_every=0)
    assert not state.exists()


def test_a_stage_without_parameters_or_with_a_strangers_is_refused() -> None:
    with pytest.raises(InputError, match="trains no parameter"):
        run(tiny(), [stage("none", 1, lambda _: [])])
    with pytest.raises(InputError, match="the model's own"):
        run(tiny(), [stage("foreign", 1, lambda _: [ParamGroup("x", [nn.Parameter(torch.zeros(1))], 1.0)])])
    with pytest.raises(InputError, match="stands in one group"):
        run(tiny(), [stage("twice", 1, lambda m: [*branch(m), *branch(m)])])


def test_averaged_weights_follow_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average, expected = WeightAverage(model, decay=0.6), 0.0
    for step, weight in enumerate([1.0, -2.0, 4.0, 3.0, 0.5, 0.1, 7.0]):
        model.weight.data.fill_(weight)
        average.update(model, step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_a_stage_hands_on_its_averaged_weights() -> None:
    seen: list[Tensor] = []
    stages = [
        stage("first", 1, everything),
        stage("second", 1, everything, begin=lambda m: seen.append(m.backbone.head.weight.clone())),
    ]
    averaged, plain = tiny(), tiny()
    run(averaged, stages, Recipe(epochs=1, batch_size=8, lr=1e-3, ema_decay=0.5))
    run(plain, stages)
    assert not torch.equal(*seen)


@given(st.floats(0, 5), st.floats(0, 1), st.integers(6, 300), st.floats(0, 1))
def test_rates_stay_between_floor_and_one_and_end_at_the_floor(
    warmup: float, floor: float, epochs: int, at: float
) -> None:
    for law in (cosine(warmup, floor), linear(warmup, floor)):
        assert floor - 1e-9 <= law(at * epochs, epochs) <= 1 + 1e-9
        assert law(warmup, epochs) == pytest.approx(1)
        assert law(epochs, epochs) == pytest.approx(floor, abs=1e-9)
    assert constant(at * epochs, epochs) == 1


@given(st.floats(0, 1), st.sampled_from([(0, 0), (0.8, 0), (0, 1.0), (0.8, 1.0)]), st.integers(1, 5))
def test_targets_stay_distributions_through_mixing(smoothing: float, mix: tuple[float, float], pairs: int) -> None:
    augment = Augment(mixup=mix[0], cutmix=mix[1], smoothing=smoothing)
    labels = torch.arange(2 * pairs) % 4
    batch = Mixer(augment, 4, 2 * pairs)(torch.rand(2 * pairs, 3, 4, 4), labels)
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(2 * pairs))
    assert batch.targets.min() >= smoothing / 4 - 1e-6
    if mix == (0, 0):
        assert batch.targets.max() == pytest.approx(1 - smoothing + smoothing / 4)
    assert sum(len(piece.images) for piece in split(batch, 3)) == 2 * pairs


def test_an_image_that_is_left_alone_is_not_mixed() -> None:
    images = torch.rand(1, 3, 4, 4)
    batch = Mixer(Augment(mixup=0.5), 10, 2)(images.clone(), torch.tensor([3]))
    assert torch.equal(batch.images, images)
    assert batch.targets.argmax(1).tolist() == [3]


def test_mixing_an_odd_batch_is_refused() -> None:
    with pytest.raises(InputError, match="must be even"):
        Mixer(Augment(mixup=0.8), 10, 7)
