"""DynamicViT against the published reference, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from golden import Golden, family, images
from torch import Tensor

from dynvit import cost
from dynvit.backbones.deit_files import deit_of
from dynvit.interface import OperatingPoint
from dynvit_methods.dynamicvit import DynamicViTModel, DynamicViTOptions
from dynvit_methods.dynamicvit.checkpoints import renamed
from dynvit_methods.dynamicvit.losses import kl_loss, ratio_loss, token_loss


@dataclass
class Case:
    golden: Golden
    model: DynamicViTModel
    point: OperatingPoint
    images: Tensor

    @property
    def stages(self) -> range:
        return range(len(self.model.prune_at))


@pytest.fixture(scope="module", params=family("dynamicvit_deit_*"))
def case(request: pytest.FixtureRequest) -> Case:
    """The reference's model, with its form of the masked softmax."""
    golden = Golden(request.param)
    meta, state = golden.meta, golden.weights
    backbone = deit_of(state, "golden", heads=meta["heads"])
    # The images stand for what is left after normalisation.
    backbone.pretrained_cfg = dict(backbone.pretrained_cfg, mean=(0.0,) * 3, std=(1.0,) * 3)
    options = DynamicViTOptions(meta["base"], stages=tuple(meta["pruning_loc"]), softmax="published")
    model = DynamicViTModel(backbone, options).double().eval()
    model.load_state_dict(renamed(state))
    return Case(golden, model, OperatingPoint(keep_ratio=meta["base"]), images())


@torch.no_grad()
def test_inference_logits_and_macs_are_the_references(case: Case) -> None:
    prediction = case.model.predict(case.images, case.point)
    torch.testing.assert_close(prediction.logits, case.golden["logits"], rtol=0, atol=1e-10)
    assert cost.macs(prediction.usage).tolist() == [case.golden.meta["macs"]] * 2
    executed = cost.count_executed(lambda: case.model.predict(case.images[:1], case.point))
    assert executed == case.golden.meta["macs"]
    assert sum(p.numel() for p in case.model.parameters()) == case.golden.meta["params"]


@torch.no_grad()
def test_predictors_see_and_score_the_same_tokens(case: Case) -> None:
    seen: list[Tensor] = []
    hooks = [p.register_forward_hook(lambda _, __, out: seen.append(out)) for p in case.model.predictors]
    case.model.predict(case.images, case.point)
    for hook in hooks:
        hook.remove()
    for stage in case.stages:
        # Ours are in raster order, the reference's in the order of the scores before.
        order = case.golden[f"stage{stage}_in_idx"].argsort(1)
        expected = case.golden[f"stage{stage}_logprob"].gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
        torch.testing.assert_close(seen[stage], expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_the_exact_softmax_masks_as_if_tokens_were_gone(case: Case) -> None:
    exact = DynamicViTModel(case.model.backbone, DynamicViTOptions(stages=case.model.prune_at)).double().eval()
    exact.load_state_dict(case.model.state_dict())
    prediction = exact(case.images, case.point)
    torch.testing.assert_close(prediction.logits, case.golden["logits"], rtol=0, atol=1e-10)
    for stage in case.stages:
        kept = case.golden[f"stage{stage}_kept_sorted"]
        for image in range(len(kept)):
            assert torch.equal(prediction.masks[stage][image].nonzero().flatten(), kept[image])


@torch.no_grad()
def test_the_masked_path_is_the_references_training_path(case: Case) -> None:
    shape = case.golden["random_masks"].shape
    best = torch.stack(
        [torch.zeros(shape[1:]).scatter(1, case.golden[f"stage{s}_kept_sorted"], 1.0) for s in case.stages]
    )
    given = {"eval": best.double(), "random": case.golden["random_masks"].double(), "ones": torch.ones(shape).double()}
    for name, masks in given.items():
        scored: list[Tensor] = []

        def decide(stage: int, score, kept: Tensor, masks: Tensor = masks, scored: list[Tensor] = scored) -> Tensor:  # type: ignore[no-untyped-def]
            scored.append(F.logsigmoid(score()))
            return masks[stage]

        prediction = case.model.masked(case.images, decide)
        expected = case.golden[f"masked_{name}_logits_f64softmax"]
        torch.testing.assert_close(prediction.logits, expected, rtol=0, atol=1e-9)
        for stage in case.stages:
            if (key := f"masked_{name}_stage{stage}_logprob_keep") in case.golden:
                torch.testing.assert_close(scored[stage], case.golden[key], rtol=0, atol=1e-9)
        if (key := f"masked_{name}_feat_first8") in case.golden:
            torch.testing.assert_close(prediction.patches[..., :8], case.golden[key], rtol=0, atol=1e-9)


@pytest.mark.parametrize("path", family("dynamicvit_losses"))
@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("term", ["mse", "kl"])
@pytest.mark.parametrize("over", ["image", "batch"])
def test_losses_are_the_references(path, labels, term, over) -> None:  # type: ignore[no-untyped-def]
    golden = Golden(path)
    weights, ratios, masks = golden.meta["weights"], golden.meta["keep_ratio"], list(golden["masks"])
    cls = F.cross_entropy(golden["pred"], golden["labels" if labels == "hard" else "soft_labels"])
    ratio = ratio_loss(masks, ratios, over)
    kl = kl_loss(golden["pred"], golden["teacher_pred"])
    tokens = token_loss(golden["tokens"], golden["teacher_tokens"], masks[-1], term)
    total = weights["clf"] * cls + weights["ratio"] * ratio + weights["distill"] * (kl + tokens)
    ours = torch.stack([total, cls, len(masks) * ratio, kl, tokens])
    torch.testing.assert_close(ours, golden[f"loss_{labels}_{term}_{over}ratio"], rtol=0, atol=1e-12)
