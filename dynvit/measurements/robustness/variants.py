"""The forms of a dynamic model that an attack is run on: its forward pass, and stand-ins that know its decisions.

Whatever form was attacked, the image that is found is evaluated by ``predict`` at the reported operating point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dynvit import cost
from dynvit.attacks import MISCLASSIFY, Answer, Attack, Criterion
from dynvit.attacks.criterion import margin
from dynvit.attacks.spec import CriterionName, Variant
from dynvit.interface import DynamicModel, OperatingPoint, Prediction


@dataclass(frozen=True)
class AttackedPrediction(Prediction):
    """A prediction with what a gradient attack maximises beside the logits.

    Shape: ``surrogate`` (B, classes), logits; ``compute`` (B,), relative to the clean image's MACs.
    """

    surrogate: Tensor
    compute: Tensor


def _surrogate_cross_entropy(prediction: Prediction, labels: Tensor) -> Tensor:
    assert isinstance(prediction, AttackedPrediction)
    return F.cross_entropy(prediction.surrogate, labels, reduction="none")


SOFT_MISCLASSIFY = Criterion("misclassify", _surrogate_cross_entropy, margin, enough=0.0)
"""A wrong label: the gradient is that of the surrogate logits, the score that of the logits."""

LABEL_MARGIN = 0.1
"""Below which lead of the clean label a slowdown that keeps the label is penalised. Units: of logits."""


def slowdown(keep_label: bool) -> Criterion:
    """More MACs. With ``keep_label`` an image whose answer changes counts as not found; labels are the clean answers.

    Source: the objective of compute attacks (Navaneet et al. 2023, arXiv 2310.02544: SlowFormer), for any method.
    """

    def loss(prediction: Prediction, labels: Tensor) -> Tensor:
        assert isinstance(prediction, AttackedPrediction)
        penalty = F.relu(margin(prediction, labels) + LABEL_MARGIN) if keep_label else 0.0
        return prediction.compute - penalty

    def score(prediction: Prediction, labels: Tensor) -> Tensor:
        assert isinstance(prediction, AttackedPrediction)
        macs = cost.macs(prediction.usage).float()
        return torch.where(margin(prediction, labels) < 0, macs, -torch.inf) if keep_label else macs

    return Criterion("slowdown-keep-label" if keep_label else "slowdown", loss, score)


def variants_of(
    model: DynamicModel, attack: Attack, criterion: CriterionName, *, adaptive_cost: bool
) -> tuple[Variant, ...]:
    """The forms in which a model is attacked, by what it supports. Transfer, from another model, is not among them."""
    if criterion != "misclassify":
        return ("adaptive",) if adaptive_cost else ("static",)
    needs = {"soft": "surrogate logits", "frozen": "frozen gates"}
    own = (form for form in forms(attack) if form != "transfer")
    return tuple(form for form in own if form not in needs or needs[form] in model.supports)


def forms(attack: Attack) -> tuple[Variant, ...]:
    """Every form in which some model can be attacked on accuracy.

    Each model gets as many attempts as there are forms, whatever it is and whichever models stand beside it: what it
    lacks in forms it gets in restarts. So no model is found more robust because it can be attacked in fewer ways, and
    another model in the same bench changes nobody's number.
    """
    if attack.black_box:
        return ("adaptive",)
    return ("adaptive", "frozen", "transfer") if attack.labels_only else ("adaptive", "soft", "frozen", "transfer")


def criterion_of(name: CriterionName, variant: Variant) -> Criterion:
    """The criterion that the attack is given."""
    if name == "misclassify":
        return SOFT_MISCLASSIFY if variant == "soft" else MISCLASSIFY
    return slowdown(name == "slowdown-keep-label")


def answer_of(
    model: DynamicModel,
    point: OperatingPoint,
    variant: Variant,
    criterion: CriterionName,
    clean: Tensor,
    *,
    black_box: bool,
) -> Answer:
    """The model at the point, in the form that the attack is run on.

    Shape: clean (B, 3, H, W), the images that the attack's ``rows`` are indices of. Units: pixels in [0, 1].
    """
    if criterion != "misclassify":
        with torch.no_grad():
            clean_macs = cost.macs(model(clean, point).usage).float().clamp_min(1)
        return lambda images, rows: _with_compute(model, images, point, clean_macs[rows])
    if variant == "soft":
        return lambda images, rows: _with_surrogate_logits(model, images, point)
    if variant == "frozen":
        return _frozen(model, point, clean)
    if black_box:
        return lambda images, rows: model.predict(images, point)
    return lambda images, rows: model(images, point)


def compute_has_gradient(model: DynamicModel, point: OperatingPoint, images: Tensor) -> bool:
    """Whether a gradient of the model's compute reaches the image, so that gradient attacks can seek a slowdown.

    It does where counted MACs carry the gates' gradients, or where the model has a compute proxy.

    Shape: images (B, 3, H, W). Units: pixels in [0, 1].
    """
    with torch.enable_grad():
        prediction = _with_compute(model.eval(), images.detach().requires_grad_(), point, torch.ones(()))
    return prediction.compute.requires_grad


def _with_surrogate_logits(model: DynamicModel, images: Tensor, point: OperatingPoint) -> AttackedPrediction:
    prediction: Prediction = model(images, point)
    surrogate = model.surrogate_logits(images, point, prediction)
    return AttackedPrediction(prediction.logits, prediction.usage, surrogate, prediction.logits.new_zeros(len(images)))


def _with_compute(model: DynamicModel, images: Tensor, point: OperatingPoint, clean_macs: Tensor) -> AttackedPrediction:
    """Compute relative to the clean image's: of the order of logits, whatever the model's size."""
    prediction: Prediction = model(images, point)
    compute = (
        model.compute_proxy(images, point, prediction)
        if "compute proxy" in model.supports
        else cost.macs(prediction.usage).float()
    )
    relative = compute / clean_macs.to(compute.device)
    return AttackedPrediction(prediction.logits, prediction.usage, prediction.logits, relative)


def _frozen(model: DynamicModel, point: OperatingPoint, clean: Tensor) -> Callable[[Tensor, Tensor], Prediction]:
    """An attack queries the same rows many times: their decisions are kept until it queries others."""
    decided: dict[tuple[int, ...], Prediction] = {}

    def answer(images: Tensor, rows: Tensor) -> Prediction:
        key = tuple(rows.tolist())
        if key not in decided:
            decided.clear()
            with torch.no_grad():
                decided[key] = model(clean[rows], point)
        return model.forward_frozen(images, point, decided[key])

    return answer
