"""A-ViT's training: the backbone learns the task and when its tokens halt."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from dynvit.interface import Batch, Losses, Recipe, Stage
from dynvit.ops.precision import at_least_float32
from dynvit.recipes import decayed_groups

from .losses import prior_loss
from .model import AViTModel, AViTPrediction
from .recipes import AViTRecipe


def finetune(model: AViTModel, recipe: Recipe) -> Stage:
    """Cross-entropy, α_p times the ponder, and α_d times the divergence from the depth prior."""
    options, depth = model.options, model.vit.shape.depth
    weights = recipe if isinstance(recipe, AViTRecipe) else AViTRecipe(1, 1, 1.0)
    ponder_weight = options.ponder_weight if weights.ponder_weight is None else weights.ponder_weight
    prior_weight = options.prior_weight if weights.prior_weight is None else weights.prior_weight

    def loss(model: nn.Module, batch: Batch) -> Losses:
        prediction: AViTPrediction = model(batch.images, AViTModel.trained_point)
        parts = {
            "cls": F.cross_entropy(at_least_float32(prediction.logits), batch.targets),
            "ponder": prediction.ponder.mean(),
            "prior": prior_loss(prediction.scores, options.prior_depth * depth, options.prior_deviation),
        }
        total = parts["cls"] + ponder_weight * parts["ponder"] + prior_weight * parts["prior"]
        return Losses(total, parts | {"blocks": prediction.steps.double().mean()})

    return Stage(
        name="halt",
        epochs=recipe.epochs,
        groups=lambda model: decayed_groups(model.named_parameters(), recipe),
        loss=loss,
    )
