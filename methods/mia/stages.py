"""MIA-Former's training (arXiv 2112.11542, §3.3): keep everything, co-train, agents alone, all by hybrid RL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from torch import Tensor, nn

from dynvit.interface import Batch, DynamicModel, Losses, ParamGroup, Schedule, Stage, constant
from dynvit.ops.precision import at_least_float32
from dynvit.recipes import is_vector
from dynvit.schedules import StageProgress, cosine
from dynvit.units import GIGA

from .agents import become_agents
from .gates import Masks
from .learning import Measured
from .losses import cost_weight, keep_loss
from .model import MIAModel, Passed
from .options import DIMENSIONS
from .pressure import CostScale, asked_at, beta_of
from .recipes import MIARecipe
from .reinforce import actor_critic, reward
from .sampling import acting, decided, executed, noisy, skip_rates, spent, steps

EVERY = 4
"""Every how many images of a batch the executed cost is measured: enough for its side of the target."""
LossOf = Callable[[MIAModel, Batch], Losses]


def stages(model: MIAModel, recipe: MIARecipe) -> list[Stage]:
    """The first two stages, and the third in its two parts unless option ``reinforce`` is off."""
    made = [keep_everything(model, recipe), cotraining(model, recipe)]
    if model.options.reinforce:
        made += [agents_alone(model, recipe), hybrid(model, recipe)]
    return made


def keep_everything(model: MIAModel, recipe: MIARecipe) -> Stage:
    """Controllers learn to skip nothing (Eq. 5); ends when they skip nothing of the last batch, without noise."""
    noise, held = recipe.choices(model.options).noise, _Held()

    def loss(model: MIAModel, batch: Batch) -> Losses:
        held.images = batch.images
        prediction = model.passed(batch.images, noisy(noise, model.options.temperature))
        total = keep_loss(_asked_masks(prediction), model.options.keep_reduction)
        return Losses(total, skip_rates(model, prediction, decided(prediction)))

    return Stage(
        name="keep",
        epochs=math.ceil(recipe.keep_epochs / recipe.keep_share),
        share=recipe.keep_share,
        groups=lambda model: _groups(_mia(model), controllers=recipe.keep_lr),
        loss=_of_mia(loss),
        until=lambda model: held.images is not None and skips_nothing(_mia(model), held.images),
        optimizer="adam",
        labels=False,
    )


def cotraining(model: MIAModel, recipe: MIARecipe) -> Stage:
    """Controllers and backbone, by the task and the cost (Eq. 6, 7)."""
    options, choices, dense = model.options, recipe.choices(model.options), model.dense_macs()
    progress, scale = StageProgress(), CostScale(choices.cost_scale, choices.cost_growth)
    schedule = progress.track(cosine(recipe.warmup_epochs / recipe.share, recipe.min_lr / recipe.lr))

    def loss(model: MIAModel, batch: Batch) -> Losses:
        temperature = options.temperature * (options.final_temperature / options.temperature) ** progress.done
        end = choices.noise if choices.final_noise is None else choices.final_noise
        noise = choices.noise + (end - choices.noise) * progress.done
        prediction = model.passed(batch.images, noisy(noise, temperature))
        compute = _Compute.of(model, prediction, dense, temperature)
        cost, measured = compute.cost(options.measured), compute.measured(options.measured, model, batch.images)
        task = F.cross_entropy(at_least_float32(prediction.logits), batch.targets)
        target = asked_at(progress.done, options.target, recipe.target_falls)
        alpha = cost_weight(task, cost, measured, target, scale.step(measured, target))
        return Losses(task + alpha * cost, {"cls": task, "alpha": alpha, **compute.parts(model, measured, target)})

    return Stage(
        name="co-train",
        epochs=recipe.stage_epochs(recipe.cotrain),
        share=recipe.share,
        groups=lambda model: _groups(
            _mia(model), recipe.lr, recipe.lr * recipe.backbone_lr, decay=recipe.weight_decay, law=schedule
        ),
        loss=_of_mia(loss),
        frozen=(scale,),
        begin=lambda model: scale.reset(),
    )


def agents_alone(model: MIAModel, recipe: MIARecipe) -> Stage:
    """Actors and critics, everything else frozen: they learn on features that are in part new (§3.3)."""
    choices, dense = recipe.choices(model.options), model.dense_macs()

    def loss(model: MIAModel, batch: Batch) -> Losses:
        return reinforced(model, batch, recipe, dense)[0]

    return Stage(
        name="agents",
        epochs=recipe.stage_epochs(recipe.agents),
        share=recipe.share,
        begin=lambda model: become_agents(_mia(model), choices.actor, recipe.policy_noise),
        groups=lambda model: _groups(_mia(model), agents=recipe.lr * recipe.agents_lr),
        loss=_of_mia(loss),
    )


def hybrid(model: MIAModel, recipe: MIARecipe) -> Stage:
    """Everything: the controllers by A2C, the backbone by the task under what they sample (Eq. 9)."""

    dense = model.dense_macs()

    def loss(model: MIAModel, batch: Batch) -> Losses:
        learned, prediction = reinforced(model, batch, recipe, dense)
        task = F.cross_entropy(at_least_float32(prediction.logits), batch.targets)
        return Losses(task + learned.total, {"cls": task, **learned.parts})

    rate = recipe.lr * recipe.hybrid_lr
    return Stage(
        name="hybrid",
        epochs=recipe.stage_epochs(recipe.hybrid),
        share=recipe.share,
        groups=lambda model: _groups(
            _mia(model),
            rate,
            rate * recipe.backbone_lr,
            recipe.lr * recipe.agents_lr,
            decay=recipe.weight_decay,
            law=cosine(0.0, recipe.min_lr / recipe.lr),
        ),
        loss=_of_mia(loss),
    )


def reinforced(model: MIAModel, batch: Batch, recipe: MIARecipe, dense: int) -> tuple[Losses, Passed]:
    """The A2C objective of a batch under sampled actions, and the pass that they were sampled in.

    Units: ``dense`` in MACs an image.
    """
    options, choices = model.options, recipe.choices(model.options)
    apart = options.policy_gradient == "controllers"
    prediction = model.passed(batch.images, acting(recipe.policy_noise), values=True, apart=apart)
    with torch.no_grad():
        # Of a mixed image, the class of the larger share.
        correct = (prediction.logits.argmax(1) == batch.targets.argmax(1)).float()
        compute = _Compute.of(model, prediction, dense)
        measured = compute.measured(options.measured, model, batch.images)
        beta = beta_of(choices.beta_rule, choices.beta, correct, compute.sampled, measured, options.target)
        returns = reward(correct, compute.sampled, options.target, beta, choices.reward, measured)
    terms = actor_critic(steps(prediction, recipe.policy_noise), returns, options.advantage)
    total = terms.policy + options.value_weight * terms.value - options.entropy_weight * terms.entropy
    parts = {"reward": returns.mean(), "value": terms.value, "policy": terms.policy, "entropy": terms.entropy}
    if isinstance(beta, Tensor):
        parts["beta"] = beta
    return Losses(total, {**parts, **compute.parts(model, measured, options.target)}), prediction


@torch.no_grad()
def skips_nothing(model: MIAModel, images: Tensor) -> bool:
    """Whether the trained model, without noise, is its backbone on these images, and so on every process.

    Shape: images (B, 3, H, W). Units: pixels in [0, 1].
    """
    masks = model(images, model.trained_point).masks
    kept = all(bool(part.all()) for mask in masks for part in (mask.depth, mask.heads, mask.tokens))
    agreed: Tensor = reduce(torch.tensor(float(kept), device=images.device), reduction="mean")
    return float(agreed) == 1.0


@dataclass(frozen=True)
class _Compute:
    """The cost of a pass, and that of its gates without noise, with the gradient of the masks.

    Shape: ``sampled`` and ``sure`` (B,). Units: fractions of ``dense`` MACs.
    """

    prediction: Passed
    masks: Sequence[Masks]
    sampled: Tensor
    sure: Tensor
    dense: int

    @classmethod
    def of(cls, model: MIAModel, prediction: Passed, dense: int, temperature: float = 1.0) -> _Compute:
        masks = decided(prediction, temperature)
        return cls(prediction, masks, spent(model, prediction.masks, dense), spent(model, masks, dense), dense)

    def cost(self, how: Measured) -> Tensor:
        """L_cost of Eq. 7: the mean that gradients go through."""
        return (self.sampled if how == "sampled" else self.sure).mean()

    def measured(self, how: Measured, model: MIAModel, images: Tensor) -> Tensor:
        """The mean that is compared with the target."""
        return executed(model, images[::EVERY], self.dense) if how == "executed" else self.cost(how).detach()

    def parts(self, model: MIAModel, measured: Tensor, target: float) -> Mapping[str, Tensor]:
        """For the log; ``target`` is what the step asked for."""
        giga = self.dense / GIGA
        return {
            "gmacs": measured * giga,
            "target_gmacs": torch.full_like(measured, target * giga),
            "sampled_gmacs": self.sampled.detach().mean() * giga,
            **skip_rates(model, self.prediction, self.masks),
        }


@dataclass
class _Held:
    """The last batch that a stage saw."""

    images: Tensor | None = None


def _groups(
    model: MIAModel,
    controllers: float = 0.0,
    backbone: float = 0.0,
    agents: float = 0.0,
    *,
    decay: float = 0.0,
    law: Schedule = constant,
) -> Sequence[ParamGroup]:
    """Parts at their rates, one at 0 left out; vectors and embeddings without decay.

    Without ``agents`` the actors are trained as controllers are, and critics are not.
    """
    parts: dict[str, list[tuple[str, nn.Parameter]]] = {"controllers": [], "agents": [], "critics": []}
    for name, parameter in model.controllers.named_parameters():
        is_critic, is_actor = "_critic." in name, "_actor." in name
        kind = "agents" if agents and (is_critic or is_actor) else "critics" if is_critic else "controllers"
        parts[kind].append((name, parameter))
    parts["backbone"] = list(model.backbone.named_parameters())
    found = []
    for part, rate in (("controllers", controllers), ("agents", agents), ("backbone", backbone)):
        if rate > 0:
            vectors = [p for name, p in parts[part] if is_vector(name, p)]
            matrices = [p for name, p in parts[part] if not is_vector(name, p)]
            found.append(ParamGroup(part, matrices, rate, decay, law))
            found.append(ParamGroup(f"{part}.vectors", vectors, rate, 0.0, law))
    return found


def _asked_masks(prediction: Passed) -> list[Tensor]:
    pairs = zip(prediction.masks, prediction.gates, strict=True)
    return [getattr(kept, name) for kept, said in pairs for name in DIMENSIONS if getattr(said, name) is not None]


def _of_mia(loss: LossOf) -> Callable[[nn.Module, Batch], Losses]:
    return lambda model, batch: loss(_mia(model), batch)


def _mia(model: nn.Module | DynamicModel) -> MIAModel:
    assert isinstance(model, MIAModel)
    return model
