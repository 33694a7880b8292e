"""The cascade as a method: the contract's laws for every variant, early exit, sweeps, compute, wrong input."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

import dynvit.backbones.small
import dynvit.backbones.t2t  # noqa: F401 - both register with timm
from conformance_helpers import check_law
from dynvit import cost
from dynvit.errors import InputError
from dynvit.interface import Batch, OperatingPoint
from dynvit.ops.resize import axis_matrix, grid_matrix, resample
from dynvit.testing import LAWS, Law, Subject
from dynvit_methods.dvt import DVT, DVTOptions
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.criteria import criteria

SMALL = DVTOptions(grids=(2, 3, 4))
VARIANTS = {
    "full": SMALL,
    "layerwise": dataclasses.replace(SMALL, feature_reuse="layerwise", relation_reuse="layerwise", criterion="entropy"),
    "class_token": DVTOptions(grids=(2, 3, 4, 8), feature_reuse="class_token", relation_reuse="final_layer"),
    "first_block": dataclasses.replace(SMALL, feature_reuse="first_block", relation_reuse="linear", last_block="all"),
    "no_norm": dataclasses.replace(SMALL, feature_reuse="no_norm", relation_reuse="naive", criterion="random"),
    "features": dataclasses.replace(SMALL, relation_reuse="off", detach="both", criterion="patience"),
    "relations": dataclasses.replace(SMALL, feature_reuse="off", resize="bilinear", start="none"),
    "apart": DVTOptions(grids=(2, 4), feature_reuse="off", relation_reuse="off", start="last"),
}


FAST = ("full", "features")  # between them: every law where images differ and where reuse is partly off


@pytest.mark.parametrize("variant", [pytest.param(v, marks=() if v in FAST else pytest.mark.slow) for v in VARIANTS])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, variant: str) -> None:
    subject = dataclasses.replace(Subject.of("dvt"), options=VARIANTS[variant])
    check_law(law, subject)


def test_a_criterion_without_gradient_leaves_no_compute_proxy() -> None:
    criteria = ["confidence", "entropy", "random", "patience"]
    models = [cascade(dataclasses.replace(SMALL, criterion=criterion)) for criterion in criteria]
    assert ["compute proxy" in model.supports for model in models] == [True, True, False, False]


def cascade(options: DVTOptions = SMALL) -> Cascade:
    return Subject.of("dvt", options=options).model()


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def between(scores: torch.Tensor, share: float) -> float:
    """A threshold in the gap that leaves about ``share`` of the scores above it."""
    falling = scores[~scores.isnan()].sort(descending=True).values
    cut = min(max(1, round(share * len(falling))), len(falling) - 1)
    return float((falling[cut - 1] + falling[cut]) / 2)


def spread_point(model: Cascade, x: torch.Tensor) -> OperatingPoint:
    scores = model.predict(x, OperatingPoint(threshold_1=1.0, threshold_2=1.0)).scores
    first = between(scores[0], 1 / 3)
    return OperatingPoint(threshold_1=first, threshold_2=between(scores[1][scores[0] < first], 1 / 2))


def test_images_that_left_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = cascade(), images(12)
    point = spread_point(model, x)
    seen: list[int] = []
    for exit in model.exits:
        exit.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    usage = model.predict(x, point).usage
    assert usage.exit is not None
    shares = torch.bincount(usage.exit, minlength=3)
    assert shares.tolist() == [4, 4, 4]
    assert seen == [12, 8, 4]
    spent = torch.tensor(model.exit_macs())[usage.exit]
    assert torch.equal(cost.macs(usage), spent)


def test_a_sweep_is_one_pass_and_equals_single_runs() -> None:
    model, x = cascade(), images(12)
    middle = spread_point(model, x)
    points = [
        middle,
        OperatingPoint(threshold_1=0.0, threshold_2=1.0),
        OperatingPoint(threshold_1=1.0, threshold_2=1.0),
    ]
    runs: list[int] = []
    model.exits[2].register_forward_hook(lambda *_: runs.append(1))
    swept = list(model.sweep(x, points))
    assert len(runs) == 1
    for point, prediction in zip(points, swept, strict=True):
        alone = model.predict(x, point)
        assert torch.equal(cost.macs(prediction.usage), cost.macs(alone.usage))
        assert torch.allclose(prediction.logits, alone.logits, atol=1e-12)


def test_a_solved_point_keeps_its_budget() -> None:
    model = cascade()
    assert "budgets" in model.supports
    x, labels = images(24), torch.arange(24) % 10
    batches = [Batch(x[k : k + 8], labels[k : k + 8], F.one_hot(labels[k : k + 8], 10)) for k in (0, 8, 16)]
    costs = model.exit_macs()
    budgets = [costs[0], 1.5 * costs[0], costs[1], costs[-1]]
    for budget, point in zip(budgets, model.solve(budgets, batches), strict=True):
        assert float(cost.macs(model.predict(x, point).usage).double().mean()) <= budget * (1 + 1e-9)
    for wrong in (0.99 * costs[0], 1.01 * costs[-1]):
        with pytest.raises(InputError, match=r"must be .* GMACs \(its first exit\) to .* \(all exits\), got"):
            model.solve([wrong], batches)
    with pytest.raises(InputError, match="there are none"):
        model.solve(budgets, [])


TABLE = {  # GMACs at exits 1 to 3: matmul and conv, and fvcore's rule
    ("t2t_vit_12", "off", "off"): ("0.4677 1.3584 3.1210", "0.4725 1.3707 3.1454"),
    ("t2t_vit_12", "full", "off"): ("0.4677 1.4115 3.2794", "0.4725 1.4251 3.3077"),
    ("t2t_vit_12", "off", "full"): ("0.4677 1.3930 3.2966", "0.4725 1.4081 3.3353"),
    ("t2t_vit_12", "full", "full"): ("0.4677 1.4461 3.4550", "0.4725 1.4625 3.4975"),
    ("t2t_vit_14", "off", "off"): ("1.2006 3.5954 8.3789", "1.2065 3.6112 8.4115"),
    ("t2t_vit_14", "full", "full"): ("1.2006 3.8181 9.2642", "1.2065 3.8409 9.3276"),
    ("deit_small_patch16_224", "off", "off"): ("1.1429 3.4428 8.0417", "1.1453 3.4501 8.0584"),
    ("deit_small_patch16_224", "full", "full"): ("1.1429 3.6431 8.8006", "1.1453 3.6563 8.8438"),
}


@pytest.mark.parametrize("row", TABLE, ids="-".join)
def test_compute_is_the_papers(row: tuple[str, str, str]) -> None:
    name, features, relations = row
    options = DVTOptions(feature_reuse=features, relation_reuse=relations, last_block="all")  # type: ignore[arg-type]
    with torch.device("meta"):  # counting needs shapes alone
        model = Cascade(timm.create_model(name), options)
    assert " ".join(f"{macs / 1e9:.4f}" for macs in model.exit_macs()) == TABLE[row][0]
    assert " ".join(f"{macs / 1e9:.4f}" for macs in model.exit_macs("fvcore")) == TABLE[row][1]


def test_growing_relations_costs_what_fvcore_counts_of_it() -> None:
    """7 → 10 at 48 channels, told by fvcore 0.1.5 of torch's own up-sampling and pooling: the resize, twice."""
    with torch.device("meta"):
        options = DVTOptions(grids=(7, 10), feature_reuse="off", last_block="all")
        model = Cascade(timm.create_model("t2t_vit_12"), options)
    parts = {part.name: part for part in model.exits[1].relations.parts(False)}
    counted = [
        parts[f"relations.{name}"].macs("fvcore") for name in ("conv0", "conv1", "resize_keys", "resize_queries")
    ]
    assert counted[:2] == [34_560_000 // 2] * 2
    assert sum(counted[2:]) == 1_420_608 + 1_420_608


@pytest.mark.parametrize(
    ("option", "variant", "gmacs"),
    [
        ("feature_reuse", "layerwise", 1.43),
        ("feature_reuse", "class_token", 1.43),
        ("feature_reuse", "first_block", 1.38),
        ("feature_reuse", "no_norm", 1.42),
        ("relation_reuse", "layerwise", 1.38),
        ("relation_reuse", "final_layer", 1.39),
        ("relation_reuse", "linear", 1.38),
        ("relation_reuse", "naive", 1.41),
    ],
)
def test_ablations_cost_what_the_paper_prints(option: str, variant: str, gmacs: float) -> None:
    off = {"feature_reuse": "off", "relation_reuse": "off"} | {option: variant}
    with torch.device("meta"):
        model = Cascade(timm.create_model("t2t_vit_12"), DVTOptions(grids=(7, 10), last_block="all", **off))  # type: ignore[arg-type]
    assert round(model.exit_macs("fvcore")[-1] / 1e9, 2) == gmacs


def test_every_cascade_has_the_knobs_that_its_method_names() -> None:
    for edge in (3, 4, 8, 14):
        assert len(DVTOptions().grids_for(edge)) == 3
    for grids in ((1, 2), (2, 3, 4), (2, 3, 4, 8), ()):
        options = DVTOptions(grids=grids)
        point = OperatingPoint(**dict.fromkeys(DVT().knobs(options), 1.0))
        assert cascade(options).predict(images(1), point).logits.shape == (1, 10)


def test_class_only_last_block_changes_the_cost_and_nothing_else() -> None:
    short, whole = cascade(), cascade(dataclasses.replace(SMALL, last_block="all"))
    whole.load_state_dict(short.state_dict())
    point = OperatingPoint(threshold_1=1.0, threshold_2=1.0)
    assert torch.allclose(short.predict(images(3), point).logits, whole.predict(images(3), point).logits, atol=1e-12)
    assert short.exit_macs()[:2] == whole.exit_macs()[:2]
    assert short.exit_macs()[2] < whole.exit_macs()[2]


def test_detached_reuse_sends_no_gradient_upstream() -> None:
    for detach, reaches in (("none", True), ("both", False)):
        model = cascade(dataclasses.replace(SMALL, detach=detach))  # type: ignore[arg-type]
        model(images(2), OperatingPoint(threshold_1=1.0, threshold_2=1.0)).logits.square().sum().backward()
        first = model.exits[0].vit.blocks[0].mlp.fc1.weight.grad
        assert (first is not None and bool(first.abs().sum() > 0)) == reaches


def test_exits_start_from_the_backbone() -> None:
    backbone: VisionTransformer = timm.create_model("vit_digits")
    for start, same in (("all", [True, True]), ("last", [False, True]), ("none", [False, False])):
        model = Cascade(backbone, DVTOptions(grids=(2, 4), start=start))  # type: ignore[arg-type]
        found = [
            torch.equal(exit.vit.blocks[0].attn.qkv.weight, backbone.blocks[0].attn.qkv.weight) for exit in model.exits
        ]
        assert found == same
    assert torch.equal(Cascade(backbone, DVTOptions(grids=(2, 4))).exits[1].vit.pos_embed, backbone.pos_embed)


def test_a_cascade_of_t2t_exits() -> None:
    model = Cascade(timm.create_model("t2t_vit_12", num_classes=5, img_size=64), DVTOptions(grids=(2, 4))).eval()
    x, point = torch.rand(1, 3, 64, 64), OperatingPoint(threshold_1=1.0)
    assert cost.count_executed(lambda: model.predict(x, point)) == model.exit_macs()[-1]
    groups = DVT().stages(model, DVT.recipes["cifar10"])[0].groups(model)
    assert not {id(exit.vit.pos_embed) for exit in model.exits} & {id(p) for group in groups for p in group.parameters}


def test_fine_tuning_on_cifar_slows_what_the_backbone_brought() -> None:
    """T2T-ViT's transfer script: 0.01 and a hundredth of it, both towards 2e-4, which the slow one rises to."""
    model, recipe = cascade(), DVT.recipes["cifar-transfer"]
    groups = DVT().stages(model, recipe)[0].groups(model)
    assert sum(len(group.parameters) for group in groups) == len(list(model.parameters()))
    rates = {group.name: (group.lr * group.schedule(0, 60), group.lr * group.schedule(60, 60)) for group in groups}
    assert rates["new matrices"] == pytest.approx((0.01, 2e-4))
    assert rates["backbone matrices"] == pytest.approx((1e-4, 2e-4))
    new = {id(parameter) for group in groups if group.name.startswith("new") for parameter in group.parameters}
    assert all(id(exit.vit.head.weight) in new for exit in model.exits)
    assert id(model.exits[1].relations.weights[0]) in new
    assert id(model.exits[1].vit.blocks[0].mlp.fc1.weight) not in new
    stacked = [p for group in groups if "vectors" in group.name for p in group.parameters]
    assert {id(p) for p in model.exits[1].relations.biases} <= {id(p) for p in stacked}


@pytest.mark.parametrize("name", ["confidence", "entropy", "random", "patience"])
def test_criteria_score_between_0_and_1_image_by_image(name: str) -> None:
    criterion, x = criteria.get(name), images(6)
    logits = torch.randn(3, 6, 10, dtype=torch.float64) * 4
    scores = criterion(logits, x)
    assert scores.shape == (6,)
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert torch.equal(criterion(logits[:, 2:4], x[2:4]), scores[2:4])
    if name in ("confidence", "entropy"):
        assert bool((criterion(logits * 10, x) > scores).all())


def test_what_is_drawn_at_one_exit_says_nothing_of_the_next() -> None:
    logits, criterion = torch.zeros(2, 400, 10, dtype=torch.float64), criteria.get("random")
    first, second = criterion(logits[:1], images(400)), criterion(logits, images(400))
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.15
    stayed = first < 0.5
    assert 0.35 < float((second[stayed] >= 0.5).double().mean()) < 0.65


def test_patience_counts_agreement_back_from_here() -> None:
    answers = torch.tensor([[1, 0, 2], [1, 1, 2], [1, 1, 3]])
    logits = F.one_hot(answers, 4).double()
    assert criteria.get("patience")(logits, images(3)).tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(("old", "new"), [(7, 10), (10, 14), (7, 14), (2, 7), (4, 8)])
@pytest.mark.parametrize("resize", ["released", "bilinear"])
def test_resizing_is_separable_and_keeps_constants(old: int, new: int, resize: str) -> None:
    axis = axis_matrix(old, new, resize)  # type: ignore[arg-type]
    assert torch.allclose(axis.sum(1), torch.ones(new, dtype=torch.float64))
    image = torch.randn(1, 2, old, old, dtype=torch.float64)
    if resize == "bilinear":
        expected = F.interpolate(image, size=new, mode="bilinear")
    else:
        middle = {(7, 14): 20, (2, 7): 8}.get((old, new), 2 * old)
        expected = F.adaptive_avg_pool2d(F.interpolate(image, size=middle, mode="nearest"), new)
    assert torch.allclose(resample(image, axis, axis), expected)
    matrix = grid_matrix(old, new, resize, class_token=False)  # type: ignore[arg-type]
    assert torch.allclose((matrix @ image.flatten(2).mT).mT.view_as(expected), expected)


def test_resizing_has_a_gradient_and_counts_as_an_up_sampling() -> None:
    maps = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    matrix = grid_matrix(2, 3)
    assert torch.autograd.gradcheck(lambda m: resample(m, matrix, matrix), (maps,))
    assert cost.count_executed(lambda: resample(maps, matrix, matrix)) == 0


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"threshold_1": 0.5}, "must set threshold_1, threshold_2, each"),
        ({"threshold_1": 0.5, "threshold_2": 1.5}, r"threshold_2 must be in \[0, 1\].*; got 1.5"),
        ({"keep": 0.5}, "got keep"),
    ],
)
def test_wrong_thresholds_are_named(knobs: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        cascade().predict(images(1), OperatingPoint(**knobs))


def test_wrong_options_are_named() -> None:
    for wrong, says in (
        ({"grids": (7,)}, "2 to 4 rising numbers"),
        ({"grids": (10, 7)}, "2 to 4 rising numbers"),
        ({"feature_reuse": "ful"}, "did you mean 'full'"),
        ({"feature_width": 0}, "feature_width must be 1 or more, got 0"),
    ):
        with pytest.raises(InputError, match=says):
            DVTOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be 1 to 8, got 9"):
        cascade(DVTOptions(grids=(2, 9)))
    with pytest.raises(InputError, match="too small for 3 exits: give DVT's option grids"):
        DVTOptions().grids_for(2)
    with pytest.raises(InputError, match="unknown DVT criterion 'sure'"):
        cascade(DVTOptions(criterion="sure"))
    with pytest.raises(InputError, match="method dvt cannot serve backbone"):
        DVT().attach(timm.create_model("resnet18"), DVTOptions())
