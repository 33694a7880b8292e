"""MIA-Former's model: its laws, its controllers, its budgets, its faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import pytest
import timm
import torch
from mia_helpers import drawn_backbone, images, mixed, spread

from conformance_helpers import check_law
from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, OperatingPoint, methods
from dynvit.testing import LAWS, Law, Subject
from dynvit.testing.laws import gradients_reach_every_trained_part
from dynvit_methods.mia import MIAFormer, MIAModel, MIAOptions
from dynvit_methods.mia.controller import Controller
from dynvit_methods.mia.gates import Masks, sampled
from dynvit_methods.mia.options import DIMENSIONS

# Gates that are closed for all images have no gradient.
OF_ANY = [law for law in LAWS if law is not gradients_reach_every_trained_part]
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(DIMENSIONS, size)]
VARIANTS = [
    MIAOptions(),
    MIAOptions(norm="masked", attention_channels="kept", static_blocks=1, class_token="read"),
    MIAOptions(norm="kept", empty="best", kernel=3, convolution="separable", pool_order="between", head_fc="shared"),
    MIAOptions(kernel=3, stride=2, pool_order="last", controller_norm="none", activation="relu"),
    *(MIAOptions(dimensions=subset) for subset in SUBSETS[:-1]),
]


@dataclass(frozen=True)
class Spread(Subject):
    """A subject whose gates differ from image to image at every point."""

    def model(self) -> DynamicModel:
        model = super().model()
        assert isinstance(model, MIAModel)
        return spread(model, seed=self.seed)


def subject(options: MIAOptions) -> Subject:
    if "mia" not in methods.names():
        methods.register("mia")(MIAFormer)
    plain = Subject.of("mia", options=options)
    return Spread(plain.method, plain.options, plain.make_backbone, plain.images, plain.labels)


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold_for_a_new_model(law: Law) -> None:
    subject(MIAOptions())
    check_law(law, Subject.of("mia"))


@pytest.mark.slow
@pytest.mark.parametrize("law", OF_ANY, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", VARIANTS, ids=range(len(VARIANTS)))
def test_the_laws_hold_where_images_differ(law: Law, options: MIAOptions) -> None:
    check_law(law, subject(options))


def test_a_new_model_is_its_backbone_without_noise() -> None:
    backbone = drawn_backbone().double().eval()
    model = MIAFormer().attach(backbone, MIAOptions()).double().eval()
    assert isinstance(model, MIAModel)
    found = model.predict(images(), model.trained_point)
    assert all(bool(mask.all()) for kept in found.masks for mask in (kept.depth, kept.heads, kept.tokens))
    assert model.neutral is not None
    expected = model.predict(images(), model.neutral)
    torch.testing.assert_close(found.logits, expected.logits)
    assert not any("controllers" in part.name for part in expected.usage.parts)


def test_images_keep_different_sets_and_decisions_are_made_again_in_each_block() -> None:
    found = mixed().predict(images(8), mixed().trained_point)
    assert found.usage.heads is not None
    assert found.usage.tokens is not None
    assert len({tuple(row) for row in found.usage.heads.tolist()}) > 4
    came_back = [(~before.tokens & after.tokens & before.depth[:, None]) for before, after in pairwise(found.masks)]
    assert any(bool(back.any()) for back in came_back), "a token that was dropped can come back"


def test_a_skipped_block_costs_its_depth_branch_alone() -> None:
    model = mixed()
    point = OperatingPoint(depth_threshold=1.0, head_threshold=0.5, token_threshold=0.5)
    found = model.predict(images(2), point)
    controller = model.controllers["0"]
    assert isinstance(controller, Controller)
    summary = sum(int(part.macs("matmul+conv")) for part in controller.summary_parts("", 1))
    fixed = cost.macs(model.usage(found.masks, asked=()))
    depth_branch = summary + model.adapter.gates[0].features
    assert torch.equal(cost.macs(found.usage), fixed + 6 * depth_branch)
    assert found.gates[0].heads is not None
    assert found.gates[0].heads.isnan().all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_digits", {}),
        ("vit_cifar", {}),
        ("deit_tiny_patch16_224", {"img_size": 64}),
        ("deit_tiny_patch16_224", {}),
        ("deit_small_patch16_224", {}),
        ("deit_base_patch16_224", {}),
    ],
)
def test_the_default_controllers_cost_under_a_twentieth(name: str, settings: dict[str, int]) -> None:
    with torch.device("meta"):
        backbone = timm.create_model(name, **settings)
        model = MIAFormer().attach(backbone, MIAOptions())
    assert isinstance(model, MIAModel)
    whole = _everything(model)
    share = int(cost.macs(model.usage(whole)) - cost.macs(model.usage(whole, asked=()))) / model.dense_macs()
    assert 0.02 < share < 0.05


def _everything(model: MIAModel) -> list[Masks]:
    gates = model.adapter.gates
    return [Masks.keep_all(1, g.heads, g.tokens, like=torch.ones(1)).to(torch.bool) for g in gates]


@pytest.mark.parametrize("dimensions", SUBSETS, ids="+".join)
def test_a_dimension_that_is_off_has_no_branch_no_knob_and_is_kept(dimensions: tuple[str, ...]) -> None:
    model = mixed(dimensions=dimensions)
    names = {name.split(".")[1].split("_")[0] for name, _ in model.controllers.named_parameters() if "actor" in name}
    assert names == {"heads": {"head"}, "tokens": {"token"}}.get(dimensions[0], {"depth"}) | {
        {"depth": "depth", "heads": "head", "tokens": "token"}[name] for name in dimensions
    }
    assert set(model.trained_point) == set(MIAFormer().knobs(model.options))
    found = model.predict(images(), model.trained_point)
    for kept in found.masks:
        for name in set(DIMENSIONS) - set(dimensions):
            mask = getattr(kept, name)
            assert bool(mask[kept.depth].all())


def test_gradients_reach_each_branch_and_critics_only_where_they_are_asked() -> None:
    model = spread(mixed(), scale=0.02).train()
    torch.manual_seed(0)
    for values in (False, True):
        model.zero_grad()
        found = model.masked(images(), sampled(1.0), values=values)
        asked = [value for block in found.gates if block.values for value in vars(block.values).values()]
        loss = found.logits.square().sum() + sum(value.sum() for value in asked)
        loss.backward()
        reached = {name for name, p in model.controllers.named_parameters() if p.grad is not None and p.grad.any()}
        assert {name for name, _ in model.controllers.named_parameters() if "critic" not in name} <= reached
        assert any("critic" in name for name in reached) is values


def test_keeping_more_never_costs_less_to_the_gradient() -> None:
    model = mixed()
    drawn = [kept.to(torch.float64) for kept in model.predict(images(), model.trained_point).masks]
    leaves = [getattr(kept, name).requires_grad_() for kept in drawn for name in DIMENSIONS]
    grads = torch.autograd.grad(cost.macs(model.usage(drawn)).sum(), leaves)
    assert all(bool((grad >= 0).all()) for grad in grads)
    assert all(any(bool(grad.any()) for grad in grads[start::3]) for start in range(3))


@pytest.mark.parametrize("backbone", ["vit_digits", "levit_cifar"])
@pytest.mark.parametrize("static", [0, 2])
def test_blocks_counted_together_cost_what_they_cost_one_by_one(backbone: str, static: int) -> None:
    model = Subject.of("mia", backbone, MIAOptions(static_blocks=static)).model()
    assert isinstance(model, MIAModel)
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=generator) < 0.6).double().requires_grad_()

    masks = [Masks(drawn(5), drawn(5, gate.heads), drawn(5, gate.tokens)) for gate in model.adapter.gates]
    together, apart = model.macs(masks), cost.macs(model.usage(masks))
    assert torch.equal(together, apart)
    assert torch.equal(model.macs([m.to(torch.bool) for m in masks]), apart.long())
    leaves = [part for m in masks for part in (m.depth, m.heads, m.tokens)]
    for found in zip(*(torch.autograd.grad(each.sum(), leaves) for each in (together, apart)), strict=True):
        torch.testing.assert_close(*found, rtol=1e-12, atol=0)


def test_an_image_whose_every_head_is_dropped_still_teaches_its_gates() -> None:
    model = mixed()
    found = model(images(), OperatingPoint(depth_threshold=0.0, head_threshold=1.0, token_threshold=0.5))
    gates = [block.heads for block in found.gates]
    assert not found.usage.heads.any()
    assert all(bool(g.any()) for g in torch.autograd.grad(found.logits.square().sum(), gates))


def test_frozen_gates_repeat_the_decisions() -> None:
    model, point = mixed(), mixed().trained_point
    clean = model.predict(images(), point)
    torch.testing.assert_close(model.forward_frozen(images(), point, clean).logits, clean.logits)
    other = model.forward_frozen(1 - images(), point, clean)
    again = model.predict(1 - images(), point)
    kept = [torch.cat([mask.tokens for mask in one.masks]).bool() for one in (clean, other, again)]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def calibration() -> list[Batch]:
    return [Batch(images(16), torch.zeros(16, dtype=torch.long), torch.zeros(16, 10))]


@pytest.mark.parametrize("scale", [1.0, 4.0], ids=["trained", "saturated"])
def test_one_model_solves_several_budgets(scale: float) -> None:
    model = spread(mixed(), scale=scale)
    low, high = model.feasible_range(calibration())
    budgets = torch.linspace(low, high, 6, dtype=torch.float64).tolist()
    points = model.solve(budgets, calibration())
    spent = [float(cost.macs(model.predict(calibration()[0].images, point).usage).double().mean()) for point in points]
    assert all(macs <= budget * (1 + 1e-9) for macs, budget in zip(spent, budgets, strict=True))
    assert all(later >= earlier for earlier, later in pairwise(spent))
    assert points[-1] == model.neutral
    assert all(macs > 0.75 * budget for macs, budget in zip(spent[1:], budgets[1:], strict=True))
    assert len(set(spent)) >= 5


def target(value: float) -> None:
    MIAFormer().options_for(value, drawn_backbone(), MIAOptions())


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: target(1.2), "target must be a fraction of the dense cost, 1 at most; got 1.2"),
        (
            lambda: target(0.01),
            r"must be above 0\.\d+ and at most 1 .* got 0.01: with all of depth, heads, tokens .* 0\.\d+ of it",
        ),
        (lambda: MIAOptions(dimensions=("heads", "width")), "unknown dimension 'width'.*Known: depth, heads, tokens"),
        (lambda: MIAOptions(dimensions=()), "must have one or more of depth, heads, tokens; got none"),
        (lambda: MIAOptions(temperature=0.0), "temperature must be above 0, got 0"),
        (lambda: MIAOptions(kernel=2), "kernel must be 1, 3, 5 or another odd number, got 2"),
        (lambda: mixed(static_blocks=6), "static_blocks must be less than the backbone's 6 blocks, got 6"),
        (
            lambda: MIAFormer().attach(timm.create_model("resnet18"), MIAOptions()),
            "method mia .*ResNet|method mia.*resnet",
        ),
        (lambda: mixed()(images(), OperatingPoint(depth_threshold=0.5)), "needs a number for knob 'head_threshold'"),
        (
            lambda: mixed().predict(images(), OperatingPoint(**dict(mixed().trained_point) | {"head_threshold": 2.0})),
            r"head_threshold must be from 0 \(keep all\) to 1 \(drop all\), got 2",
        ),
        (lambda: mixed().solve([1.0], calibration()), "a budget of method mia must be .* to .* GMACs .*, got 1e-09"),
    ],
)
def test_wrong_input_is_named_in_one_line(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attempt()
