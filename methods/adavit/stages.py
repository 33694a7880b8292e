"""AdaViT's training: one stage, gates and backbone together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dynvit.backbones.vit import set_drop_path
from dynvit.interface import Batch, DynamicModel, Losses, ParamGroup, Stage
from dynvit.ops.precision import at_least_float32
from dynvit.recipes import decayed_groups

from .losses import distance, entropy, ran, squared, stacked
from .model import AdaViTModel, AdaViTPrediction
from .options import AdaViTOptions
from .policy import Policy
from .recipes import AdaViTRecipe

TARGETS = {"layers": "layer_target", "heads": "head_target", "tokens": "token_target"}
WEIGHTS = {"layers": "layer_weight", "heads": "head_weight", "tokens": "token_weight"}


def adapt(model: AdaViTModel, recipe: AdaViTRecipe) -> Stage:
    """The stage that trains policies and backbone."""

    def begin(model: DynamicModel) -> None:
        assert isinstance(model, AdaViTModel)
        set_drop_path(model.backbone, recipe.drop_path)
        if recipe.init_logit is not None:
            for policy in model.policies:
                assert isinstance(policy, Policy)
                policy.start_at(recipe.init_logit)

    return Stage(
        name="adapt",
        epochs=recipe.epochs,
        groups=lambda model: parameter_groups(model, recipe),
        loss=usage_loss(model.options),
        begin=begin,
    )


def usage_loss(options: AdaViTOptions) -> Callable[[nn.Module, Batch], Losses]:
    """Cross-entropy, and how far the usage of each dimension is from its target."""

    def loss(model: nn.Module, batch: Batch) -> Losses:
        prediction: AdaViTPrediction = model(batch.images, AdaViTModel.neutral)
        cls = F.cross_entropy(at_least_float32(prediction.logits), batch.targets)
        total, parts = cls, {"cls": cls}
        for name in options.dimensions:
            masks, logits = decided(prediction, name)
            used = usage_of(options, name, masks, logits, prediction)
            total = total + getattr(options, WEIGHTS[name]) * used
            parts |= {name: used, f"{name}_used": masks.detach().mean()}
        return Losses(total, parts)

    return loss


def usage_of(options: AdaViTOptions, name: str, masks: Tensor, logits: Tensor, prediction: AdaViTPrediction) -> Tensor:
    """One dimension's usage loss.

    Args:
        options: which form, and the target.
        name: the dimension.
        masks: of the blocks that decide it, (B, blocks, n).
        logits: theirs, likewise.
        prediction: the pass, for which blocks ran.
    """
    target: float = getattr(options, TARGETS[name])
    if options.usage == "squared" or name == "tokens":
        return squared(masks, target)
    layers = decided(prediction, "layers")[0] if name == "heads" and "layers" in options.dimensions else None
    found = distance(masks, target, None if layers is None else ran(layers), options.diversity)
    return found - options.entropy * entropy(logits) if options.entropy else found


def decided(prediction: AdaViTPrediction, name: str) -> tuple[Tensor, Tensor]:
    """Masks and logits of the blocks that decide a dimension. Shape: (B, blocks, n) each."""
    pairs = zip(prediction.masks, prediction.gates, strict=True)
    found = [(getattr(masks, name), getattr(gates, name)) for masks, gates in pairs if getattr(gates, name) is not None]
    return stacked([mask for mask, _ in found]), stacked([logits for _, logits in found])


def parameter_groups(model: DynamicModel, recipe: AdaViTRecipe) -> Sequence[ParamGroup]:
    """Policies at their multiple of the backbone's rate; vectors and embeddings without weight decay."""
    assert isinstance(model, AdaViTModel)
    rate = recipe.lr * recipe.policy_lr
    return [
        *decayed_groups(model.policies.named_parameters(), recipe, lr=rate, prefix="policies."),
        *decayed_groups(model.backbone.named_parameters(), recipe, prefix="backbone."),
    ]
