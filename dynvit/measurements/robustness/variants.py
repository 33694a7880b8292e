"""What an attack climbs on a dynamic model: its own forward pass, and stand-ins that know of its decisions.

Whatever was climbed, the image that was found is judged by ``predict`` at the operating point that is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dynvit import cost
from dynvit.attacks import MISCLASSIFY, Answer, Attack, Criterion
from dynvit.attacks.criterion import margin
from dynvit.interface import DynamicModel, OperatingPoint, Prediction

Variant = Literal["adaptive", "soft", "frozen", "transfer", "static"]
"""adaptive: ``forward``, gates straight-through. soft: ``surrogate_logits``. frozen: ``forward_frozen``, with the clean
image's decisions. transfer: another model. static: nothing to climb, nothing was run."""

CriterionName = Literal["misclassify", "slowdown", "slowdown-keep-label"]


@dataclass(frozen=True)
class Climbed(Prediction):
    """A prediction with what is climbed in its place. Shape: ``logits_climbed`` (B, classes), ``effort`` (B,)."""

    logits_climbed: Tensor
    effort: Tensor


def _soft_cross_entropy(prediction: Prediction, labels: Tensor) -> Tensor:
    assert isinstance(prediction, Climbed)
    return F.cross_entropy(prediction.logits_climbed, labels, reduction="none")


SOFT_MISCLASSIFY = Criterion("misclassify", _soft_cross_entropy, margin, enough=0.0)
"""A wrong label: climbed with the branches weighed, judged by the branch that is taken."""

ROOM = 0.1
"""How near the best wrong logit may come before a slowdown that keeps the label cares for it. Units: of logits."""


def slowdown(keep_label: bool) -> Criterion:
    """More MACs. With ``keep_label`` an image whose answer changes counts as not found; labels are the clean answers.

    Source: the objective of compute attacks (Navaneet et al. 2023, arXiv 2310.02544: SlowFormer), for any method.
    """

    def loss(prediction: Prediction, labels: Tensor) -> Tensor:
        assert isinstance(prediction, Climbed)
        near = F.relu(margin(prediction, labels) + ROOM) if keep_label else 0.0
        return prediction.effort - near

    def score(prediction: Prediction, labels: Tensor) -> Tensor:
        assert isinstance(prediction, Climbed)
        macs = cost.macs(prediction.usage).float()
        return torch.where(margin(prediction, labels) < 0, macs, -torch.inf) if keep_label else macs

    return Criterion("slowdown-keep-label" if keep_label else "slowdown", loss, score)


def variants_of(model: DynamicModel, attack: Attack, aim: CriterionName, *, adaptive_cost: bool) -> tuple[Variant, ...]:
    """How a model is attacked, by what it can do. Transfer needs another model and is not named here."""
    if aim != "misclassify":
        return ("adaptive",) if adaptive_cost else ("static",)
    if attack.black_box:
        return ("adaptive",)
    soft: tuple[Variant, ...] = ("soft",) if "surrogate logits" in model.supports and not attack.labels_only else ()
    frozen: tuple[Variant, ...] = ("frozen",) if "frozen gates" in model.supports else ()
    return ("adaptive", *soft, *frozen)


def goal_of(aim: CriterionName, variant: Variant) -> Criterion:
    """What the attack is given to want."""
    if aim == "misclassify":
        return SOFT_MISCLASSIFY if variant == "soft" else MISCLASSIFY
    return slowdown(aim == "slowdown-keep-label")


def answer_of(
    model: DynamicModel, point: OperatingPoint, variant: Variant, aim: CriterionName, clean: Tensor, *, black_box: bool
) -> Answer:
    """The model at the point, as an attack is to see it. Shape: clean (B, 3, H, W), what rows are looked up in."""
    if aim != "misclassify":
        with torch.no_grad():
            whole = cost.macs(model(clean, point).usage).float().clamp_min(1)
        return lambda images, rows: _stretched(model, images, point, whole[rows])
    if variant == "soft":
        return lambda images, rows: _softened(model, images, point)
    if variant == "frozen":
        return _frozen(model, point, clean)
    if black_box:
        return lambda images, rows: model.predict(images, point)
    return lambda images, rows: model(images, point)


def _softened(model: DynamicModel, images: Tensor, point: OperatingPoint) -> Climbed:
    found: Prediction = model(images, point)
    surrogate = model.surrogate_logits(images, point, found)
    return Climbed(found.logits, found.usage, surrogate, found.logits.new_zeros(len(images)))


def compute_climbs(model: DynamicModel, point: OperatingPoint, images: Tensor) -> bool:
    """Whether the model's compute has a gradient that reaches the image, so that a slowdown attack can climb it.

    It has one where counted MACs carry the gates' gradients, or where the model has a ``compute_proxy``.
    """
    with torch.enable_grad():
        found = _stretched(model.eval(), images.detach().requires_grad_(), point, torch.ones(()))
    return found.effort.requires_grad


def _stretched(model: DynamicModel, images: Tensor, point: OperatingPoint, clean_macs: Tensor) -> Climbed:
    """Effort as a share of what the clean image costs: of the size of logits, and rising with the cost."""
    found: Prediction = model(images, point)
    effort = (
        model.compute_proxy(images, point, found)
        if "compute proxy" in model.supports
        else cost.macs(found.usage).float()
    )
    return Climbed(found.logits, found.usage, found.logits, effort / clean_macs.to(effort.device))


def _frozen(model: DynamicModel, point: OperatingPoint, clean: Tensor) -> Callable[[Tensor, Tensor], Prediction]:
    """An attack asks for the same rows many times: what was decided about them is kept until it asks for others."""
    decided: dict[tuple[int, ...], Prediction] = {}

    def answer(images: Tensor, rows: Tensor) -> Prediction:
        key = tuple(rows.tolist())
        if key not in decided:
            decided.clear()
            with torch.no_grad():
                decided[key] = model(clean[rows], point)
        return model.forward_frozen(images, point, decided[key])

    return answer
