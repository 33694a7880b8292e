"""DynamicViT's training: one stage, with a frozen copy of the backbone as the teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynvit.backbones.vit import PlainViT, set_drop_path
from dynvit.interface import Batch, DynamicModel, Losses, OperatingPoint, ParamGroup, Stage
from dynvit.ops.precision import at_least_float32
from dynvit.recipes import EMBEDDINGS, decayed_groups

from .losses import kl_loss, ratio_loss, token_loss
from .model import DynamicViTModel, DynamicViTPrediction
from .options import DynamicViTOptions
from .recipes import DynamicViTRecipe


def sparsify(model: DynamicViTModel, recipe: DynamicViTRecipe) -> Stage:
    """The stage that trains predictors and backbone together."""
    teacher = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    ratio_weight = model.options.ratio_weight if recipe.ratio_weight is None else recipe.ratio_weight
    return Stage(
        name="sparsify",
        epochs=recipe.epochs,
        groups=lambda model: parameter_groups(model, recipe),
        loss=distillation(model.options, PlainViT(teacher), len(model.prune_at), ratio_weight),
        frozen=(teacher,),
        begin=lambda model: set_drop_path(model.backbone, recipe.drop_path),
    )


def distillation(
    options: DynamicViTOptions, teacher: PlainViT, stages: int, ratio_weight: float
) -> Callable[[nn.Module, Batch], Losses]:
    """The loss of Eq. 12-16: cross-entropy, kept fraction, and the teacher's logits and tokens."""
    point = OperatingPoint(keep_ratio=options.keep_ratio)
    ratios = [options.keep_ratio**stage for stage in range(1, stages + 1)]
    distilled = options.kl_weight > 0 or options.token_weight > 0

    def loss(model: nn.Module, batch: Batch) -> Losses:
        prediction: DynamicViTPrediction = model(batch.images, point)
        logits = at_least_float32(prediction.logits)
        parts = {
            "cls": F.cross_entropy(logits, batch.targets),
            "ratio": ratio_loss(prediction.masks, ratios, options.ratio_over),
        }
        total = options.cls_weight * parts["cls"] + ratio_weight * parts["ratio"]
        if distilled:
            answers, patches = _teach(teacher, batch.images)
            parts["kl"] = kl_loss(logits, answers, options.kl_direction)
            parts["tokens"] = token_loss(
                at_least_float32(prediction.patches),
                patches,
                prediction.kept,
                options.token_term,
                options.token_channels,
            )
            total = total + options.kl_weight * parts["kl"] + options.token_weight * parts["tokens"]
        return Losses(total, parts | {"kept": prediction.kept.mean()})

    return loss


def parameter_groups(model: DynamicModel, recipe: DynamicViTRecipe) -> list[ParamGroup]:
    """Predictors at ``lr``, the backbone at its fraction; vectors and embeddings without weight decay."""
    assert isinstance(model, DynamicViTModel)
    trained = [
        (name, parameter)
        for name, parameter in model.backbone.named_parameters()
        if recipe.train_embeddings or not name.endswith(EMBEDDINGS)
    ]
    new, slow = recipe.predictor_schedule(), recipe.backbone_schedule()
    lr = recipe.lr * recipe.backbone_lr
    return [
        *decayed_groups(model.predictors.named_parameters(), recipe, schedule=new, prefix="predictors."),
        *decayed_groups(trained, recipe, lr=lr, schedule=slow, prefix="backbone."),
    ]


@torch.no_grad()
def _teach(teacher: PlainViT, images: Tensor) -> tuple[Tensor, Tensor]:
    """The dense backbone's logits and normed patch tokens."""
    tokens = teacher.embed(images)
    for block in teacher.blocks:
        tokens = block(tokens)
    logits, patches = teacher.classify(tokens), teacher.model.norm(tokens[:, 1:])
    return at_least_float32(logits), at_least_float32(patches)
