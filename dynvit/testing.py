"""The conformance kit: the laws that hold for every method, to be tried on any of them.

``dynvit check NAME`` runs them; a plug-in's own tests do so too::

    import pytest
    from dynvit.testing import LAWS, Subject

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    def test_law(law):
        law(Subject.of("mymethod"))

A law returns nothing where it holds, raises ``LawBroken`` where it does not, and ``NotApplicable`` where the
method has nothing that it speaks of.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.budgets import KnobSolver, mean_macs
from dynvit.errors import InputError
from dynvit.interface import Batch, DynamicModel, Method, OperatingPoint, Prediction, SolvesBudgets, methods
from dynvit.search import draw

TOLERANCE = 1e-8  # float64, where a difference of form is rounding and a difference of meaning is not


class LawBroken(AssertionError):  # noqa: N818 - a verdict on a method, not a fault of the kit
    """A law does not hold; the message says where and by how much."""


class NotApplicable(Exception):  # noqa: N818
    """The method has nothing that the law speaks of; the message says what."""


@dataclass(frozen=True)
class Subject:
    """A method on a backbone, with images to try it on, all in float64.

    Shape: ``images`` (B, 3, H, W). Units: pixels in [0, 1].
    """

    method: Method[Any]
    options: Any
    make_backbone: Callable[[], nn.Module]
    images: Tensor
    labels: Tensor
    seed: int = 0

    @classmethod
    def of(cls, name: str, backbone: str = "vit_digits", options: Any = None, batch: int = 4) -> Subject:
        """The registered method on a timm backbone with weights drawn by seed.

        Raises: ``InputError`` for an unknown name.
        """
        import timm

        import dynvit.backbones.levit_small
        import dynvit.backbones.small
        import dynvit.backbones.t2t  # noqa: F401 - all register our backbones with timm
        from dynvit.errors import unknown

        method = methods.get(name)()
        if not timm.is_model(backbone):
            raise unknown("backbone", backbone, timm.list_models())

        def make() -> nn.Module:
            torch.manual_seed(0)
            return _spread(timm.create_model(backbone))

        size = tuple(make().pretrained_cfg["input_size"])  # type: ignore[index]
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(batch, *size, generator=generator, dtype=torch.float64)
        return cls(method, options or method.Options(), make, images, torch.arange(batch))

    def model(self) -> DynamicModel:
        """A fresh model, the same each time, in float64 and eval mode."""
        backbone = self.make_backbone()
        torch.manual_seed(self.seed + 1)
        return self.method.attach(backbone, self.options).double().eval()

    def points(self, model: DynamicModel) -> list[OperatingPoint]:
        """Points to try: the neutral one, the ends and middle of the budget, and three drawn at random."""
        knobs = self.method.knobs(self.options)
        points = [model.neutral] if model.neutral is not None else []
        if self.method.budget_knob and not isinstance(model, SolvesBudgets):
            rungs = KnobSolver(model, self.method.budget_knob, knobs, self._calibration())
            reach = rungs.range()
            points += rungs.solve([reach.low + part * (reach.high - reach.low) for part in (0.0, 0.5, 1.0)])
        points += draw(knobs, self.seed, 3 if knobs else 1)
        return list(dict.fromkeys(points))

    def batch(self) -> Batch:
        """The images as a training batch."""
        classes = self.make_backbone().num_classes
        targets = F.one_hot(self.labels % classes, classes).double()  # type: ignore[operator, arg-type]
        return Batch(self.images, self.labels, targets)

    def _calibration(self) -> list[Batch]:
        return [self.batch()]


def _spread(backbone: nn.Module) -> nn.Module:
    """Weights large enough that logits and attention differ between images: fresh ones are near constant.

    A batch norm gets a scale that is not zero, for LeViT begins with its branches switched off, and the statistics of
    a few random images: without them numbers grow from layer to layer, until attention is all on one token.
    """
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 * parameter[0].numel() ** -0.5)
        norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
        if norms:
            for norm in norms:
                norm.momentum = 1.0
                for tensor, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.2, 0.2)):
                    if tensor is not None:
                        tensor.uniform_(low, high)
            size = backbone.pretrained_cfg["input_size"]  # type: ignore[index]
            # Noise alone is the same to a pooled head, whose norm would then magnify rounding.
            backbone.train()(torch.randn(32, 3, 1, 1) + torch.randn(32, 1, 1, 1) * torch.randn(32, *size))
    return backbone


def neutral_point_equals_backbone(subject: Subject) -> None:
    """At the neutral point the model is its backbone."""
    model = subject.model()
    if model.neutral is None:
        raise NotApplicable("the method has no neutral point")
    backbone = subject.make_backbone().double().eval()
    with torch.no_grad():
        expected = backbone(Normalize.of(backbone)(subject.images))
        _close(model.predict(subject.images, model.neutral).logits, expected, "predict at the neutral point")


def forward_equals_predict(subject: Subject) -> None:
    """The differentiable form and the executed form decide and answer alike."""
    model = subject.model()
    for point in subject.points(model):
        with torch.no_grad():
            soft, hard = model(subject.images, point), model.predict(subject.images, point)
        _close(soft.logits, hard.logits, f"forward and predict at {point}")
        _close(cost.macs(soft.usage).double(), cost.macs(hard.usage).double(), f"their MACs at {point}")
        for name in ("tokens", "heads", "exit"):
            one, other = getattr(soft.usage, name), getattr(hard.usage, name)
            if (one is None) != (other is None):
                raise LawBroken(f"only one of forward and predict reports usage.{name} at {point}")
            if one is not None:
                _close(one.double(), other.double(), f"usage.{name} at {point}")


def batch_mates_do_not_matter(subject: Subject) -> None:
    """An image's answer and cost are the same alone and in company, in any order."""
    model = subject.model()
    order = torch.arange(len(subject.images)).flip(0)
    for point in subject.points(model):
        with torch.no_grad():
            together = model.predict(subject.images, point)
            turned = model.predict(subject.images[order], point)
            alone = [model.predict(image[None], point) for image in subject.images]
        for name, answers in (("alone", _joined(alone)), ("in another order", _joined([turned], order))):
            _close(together.logits, answers[0], f"logits in a batch and {name}, at {point}")
            _close(cost.macs(together.usage).double(), answers[1], f"MACs in a batch and {name}, at {point}")


def claimed_macs_are_executed(subject: Subject) -> None:
    """What usage claims for an image is what torch ran for it."""
    model = subject.model()
    for point in subject.points(model):
        for image in subject.images[:2]:
            with torch.no_grad():
                claimed = int(cost.macs(model.predict(image[None], point).usage))

            def run(image: Tensor = image, point: OperatingPoint = point) -> Prediction:
                return model.predict(image[None], point)

            executed = cost.count_executed(run)
            if claimed != executed:
                raise LawBroken(f"usage claims {claimed:,} MACs at {point}, torch executed {executed:,}")


def macs_fall_with_the_budget(subject: Subject) -> None:
    """Turning the budget down never costs more, and costs less in the end."""
    model, knobs = subject.model(), subject.method.knobs(subject.options)
    knob = subject.method.budget_knob
    if isinstance(model, SolvesBudgets):
        raise NotApplicable("the method solves budgets itself")
    if knob is None:
        raise NotApplicable("the method has no budget knob")
    ladder = KnobSolver(model, knob, knobs, [subject.batch()])
    reach = ladder.range()
    budgets = torch.linspace(reach.low, reach.high, 9, dtype=torch.float64).tolist()
    spent = [mean_macs(model, point, [subject.batch()]) for point in ladder.solve(budgets)]
    if any(later < earlier for earlier, later in pairwise(spent)) or spent[0] >= spent[-1]:
        raise LawBroken(f"MACs along {knob!r} do not rise: {[f'{macs:.4g}' for macs in spent]}")
    if any(macs > budget * (1 + 1e-9) for macs, budget in zip(spent, budgets, strict=True)):
        raise LawBroken(f"a point along {knob!r} costs more than its budget")


def saving_and_loading_changes_nothing(subject: Subject) -> None:
    """A model read back from its state dict answers the same."""
    model = subject.model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        safetensors.torch.save_model(model, str(path))
        loaded = dataclasses.replace(subject, seed=subject.seed + 7).model()
        safetensors.torch.load_model(loaded, str(path))
    for point in subject.points(model):
        with torch.no_grad():
            one, other = model.predict(subject.images, point), loaded.predict(subject.images, point)
        _close(one.logits, other.logits, f"before saving and after loading, at {point}", tolerance=0.0)


def gradients_reach_every_trained_part(subject: Subject) -> None:
    """Each parameter that a stage trains gets a gradient from that stage's loss."""
    if not subject.method.recipes:
        raise NotApplicable("the method has nothing to train")
    model = subject.model()
    recipe = next(iter(subject.method.recipes.values()))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for stage in subject.method.stages(model, recipe):
        if stage.begin is not None:
            stage.begin(model)
            names = {id(parameter): name for name, parameter in model.named_parameters()}
        for module in stage.frozen:
            module.double().eval()
        model.double().train()
        trained = [p for group in stage.groups(model) for p in group.parameters]
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
            parameter.grad = None
        # Sampled gates hide a part now and then; a few draws show whether anything ever reaches it.
        for sample in range(4):
            torch.manual_seed(sample)
            stage.loss(model, subject.batch()).total.backward()
        missed = [names[id(p)] for p in trained if p.grad is None or not bool(p.grad.abs().sum() > 0)]
        if missed:
            raise LawBroken(f"stage {stage.name!r} sends no gradient to {', '.join(missed[:5])} ({len(missed)} in all)")


def gradients_reach_the_image(subject: Subject) -> None:
    """A white-box attack finds a finite gradient at every point."""
    model = subject.model()
    for point in subject.points(model):
        images = subject.images.clone().requires_grad_()
        prediction = model(images, point)
        F.cross_entropy(prediction.logits, subject.labels % prediction.logits.shape[1]).backward()
        reached = torch.zeros_like(images) if images.grad is None else images.grad
        per_image = reached.abs().flatten(1).sum(1)
        if not bool(torch.isfinite(per_image).all()) or not bool((per_image > 0).all()):
            raise LawBroken(f"the gradient of the loss in the image is zero or not finite at {point}")


def forward_returns_one_type(subject: Subject) -> None:
    """Training and evaluation get the same type, which is a Prediction."""
    model = subject.model()
    point = subject.points(model)[0]
    evaluated, trained = model(subject.images, point), model.train()(subject.images, point)
    if type(evaluated) is not type(trained) or not isinstance(evaluated, Prediction):
        raise LawBroken(f"forward returns {type(evaluated).__name__} in eval, {type(trained).__name__} in training")


Law = Callable[[Subject], None]
LAWS: tuple[Law, ...] = (
    neutral_point_equals_backbone,
    forward_equals_predict,
    batch_mates_do_not_matter,
    claimed_macs_are_executed,
    macs_fall_with_the_budget,
    saving_and_loading_changes_nothing,
    gradients_reach_every_trained_part,
    gradients_reach_the_image,
    forward_returns_one_type,
)


@dataclass(frozen=True)
class Verdict:
    """What came of one law: ``holds`` is None where it does not apply."""

    law: str
    holds: bool | None
    reason: str = ""


def check(subject: Subject) -> Iterator[Verdict]:
    """Try every law; a law that fails does not stop the next."""
    for law in LAWS:
        name = law.__name__.replace("_", " ")
        try:
            law(subject)
        except NotApplicable as reason:
            yield Verdict(name, None, str(reason))
        except LawBroken as fault:
            yield Verdict(name, False, str(fault))
        except InputError:
            raise
        except Exception as error:
            yield Verdict(name, False, f"{type(error).__name__}: {error}")
        else:
            yield Verdict(name, True)


def _joined(predictions: list[Prediction], order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logits = torch.cat([p.logits for p in predictions])
    spent = torch.cat([cost.macs(p.usage).double() for p in predictions])
    return (logits, spent) if order is None else (logits[order], spent[order])


def _close(one: Tensor, other: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    if one.shape != other.shape:
        raise LawBroken(f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
    scale = max(1.0, float(other.abs().max()))
    gap = float((one - other).abs().max()) / scale
    if not gap <= tolerance:
        raise LawBroken(f"{what} differ by {gap:.2g} of {scale:.3g}, allowed {tolerance:.0g}")
