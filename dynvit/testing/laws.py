"""The laws of the contract that every model keeps: its outputs, its cost, its gradients."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.budgets import KnobSolver, mean_macs
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint, Prediction, Recipe, Stage
from dynvit.testing.comparison import close, image_gradients, same_usage
from dynvit.testing.subject import LawBroken, NotApplicable, Subject


def neutral_point_equals_backbone(subject: Subject) -> None:
    """At the neutral point the model is its backbone."""
    model = subject.model()
    if model.neutral is None:
        raise NotApplicable("the method has no neutral point")
    backbone = subject.make_backbone().double().eval()
    with torch.no_grad():
        expected = backbone(Normalize.of(backbone)(subject.images))
        close(model.predict(subject.images, model.neutral).logits, expected, "predict at the neutral point")


def forward_equals_predict(subject: Subject) -> None:
    """The differentiable and the executed form have the same logits, MACs and decisions."""
    model = subject.model()
    images = subject.crowd()
    for point in subject.points(model):
        with torch.no_grad():
            soft, hard = model(images, point), model.predict(images, point)
        close(soft.logits, hard.logits, f"logits of forward and predict at {point}")
        same_usage(soft.usage, hard.usage, "forward and predict", f"at {point}")


def results_do_not_depend_on_the_batch(subject: Subject) -> None:
    """An image's logits and MACs do not depend on the other images of its batch, on their order or number, nor on what
    the model was asked before."""
    model, images = subject.model(), subject.images
    order, crowd = torch.arange(len(images)).flip(0), subject.crowd()
    for point in subject.points(model):
        with torch.no_grad():
            together, soft = model.predict(images, point), model(images, point)
            soft_alone = _joined([model(image[None], point) for image in images])
            others = {
                "alone": _joined([model.predict(image[None], point) for image in images]),
                "in another order": _joined([model.predict(images[order], point)], order),
                f"among {len(crowd)}": _joined([model.predict(crowd, point)], torch.arange(len(images))),
                "again": _joined([model.predict(images, point)]),
            }
        close(soft.logits, soft_alone[0], f"logits of forward in a batch and alone, at {point}")
        close(cost.macs(soft.usage).double(), soft_alone[1], f"MACs of forward in a batch and alone, at {point}")
        for name, (logits, spent) in others.items():
            close(together.logits, logits, f"logits in a batch and {name}, at {point}")
            close(cost.macs(together.usage).double(), spent, f"MACs in a batch and {name}, at {point}")


def claimed_macs_are_executed(subject: Subject) -> None:
    """The MACs that usage claims for images are those that torch executed: of one, of some, and of a batch as a bench
    has them, in which the images' decisions differ."""
    model, images = subject.model(), subject.images
    batches = [images[:1], images, subject.crowd()]
    for point in subject.points(model):
        for batch in batches:
            with torch.no_grad():
                claimed = int(cost.macs(model.predict(batch, point).usage).sum())

            def run(batch: Tensor = batch, point: OperatingPoint = point) -> Prediction:
                return model.predict(batch, point)

            executed = cost.count_executed(run)
            if claimed != executed:
                images_said = "an image" if len(batch) == 1 else f"a batch of {len(batch)}"
                raise LawBroken(
                    f"usage claims {claimed:,} MACs of {images_said} at {point}, torch executed {executed:,}"
                )


def sweeping_equals_predicting(subject: Subject) -> None:
    """``sweep`` gives at each point what ``predict`` gives there: what is reported is what is attacked and timed."""
    model = subject.model()
    if type(model).sweep is DynamicModel.sweep:
        raise NotApplicable("the model does not override sweep")
    points, images = subject.points(model), subject.crowd()
    with torch.no_grad():
        swept = list(model.sweep(images, points))
        if len(swept) != len(points):
            raise LawBroken(f"sweep gives {len(swept)} predictions at {len(points)} points")
        for point, found in zip(points, swept, strict=True):
            alone = model.predict(images, point)
            close(found.logits, alone.logits, f"logits of sweep and predict at {point}")
            same_usage(found.usage, alone.usage, "sweep and predict", f"at {point}")


def macs_fall_with_the_budget(subject: Subject) -> None:
    """A lower budget never costs more, and the lowest costs less than the highest."""
    model, knobs = subject.model(), subject.knobs()
    knob = subject.method.budget_knob
    if "budgets" in model.supports:
        raise NotApplicable("the method solves budgets itself")
    if knob is None:
        raise NotApplicable("the method has no budget knob")
    solver = KnobSolver(model, knob, knobs, [subject.batch()])
    feasible = solver.range()
    budgets = torch.linspace(feasible.low, feasible.high, 9, dtype=torch.float64).tolist()
    spent = [mean_macs(model, point, [subject.batch()]) for point in solver.solve(budgets)]
    if any(later < earlier for earlier, later in pairwise(spent)) or spent[0] >= spent[-1]:
        raise LawBroken(f"MACs along {knob!r} do not rise: {[f'{macs:.4g}' for macs in spent]}")
    if any(macs > budget * (1 + 1e-9) for macs, budget in zip(spent, budgets, strict=True)):
        raise LawBroken(f"a point along {knob!r} costs more than its budget")


def saving_and_loading_changes_nothing(subject: Subject) -> None:
    """A model loaded from its state dict has the same logits."""
    model = subject.model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        safetensors.torch.save_model(model, str(path))
        loaded = dataclasses.replace(subject, seed=subject.seed + 7).model()
        safetensors.torch.load_model(loaded, str(path))
    for point in subject.points(model):
        with torch.no_grad():
            one, other = model.predict(subject.images, point), loaded.predict(subject.images, point)
        close(one.logits, other.logits, f"before saving and after loading, at {point}", tolerance=0.0)


def gradients_reach_every_trained_part(subject: Subject) -> None:
    """Each parameter that a stage trains gets a gradient from that stage's loss."""
    if not subject.method.recipes:
        raise NotApplicable("the method has nothing to train")
    model = subject.model()
    recipe = next(iter(subject.method.recipes.values()))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for stage in _stages(subject, model, recipe):
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
        # Sampled gates drop a part at times; a few samples show whether a gradient ever reaches it.
        batch = subject.batch()  # before the seed: it makes a backbone, which sets one
        for sample in range(4):
            torch.manual_seed(sample)
            stage.loss(model, batch).total.backward()
        if any(map(_unreached, trained)):  # what stands behind a scale that starts at 0 is reached once that moves
            with torch.no_grad():
                for parameter in trained:
                    if parameter.grad is not None:
                        parameter.sub_(parameter.grad, alpha=0.01)
            stage.loss(model, batch).total.backward()
        missed = [names[id(p)] for p in trained if _unreached(p)]
        if missed:
            raise LawBroken(f"stage {stage.name!r} sends no gradient to {', '.join(missed[:5])} ({len(missed)} in all)")


def gradients_reach_the_image(subject: Subject) -> None:
    """A white-box attack finds a finite gradient at every point at which the image makes a difference."""
    model = subject.model()
    for point in subject.points(model):
        with torch.no_grad():
            answers = model.predict(subject.images, point).logits
        if torch.equal(answers, answers[:1].expand_as(answers)):
            continue  # all is dropped, and every image is answered alike
        images = subject.images.clone().requires_grad_()
        logits = model(images, point).logits
        loss = F.cross_entropy(logits, subject.labels % logits.shape[1])
        if not bool((image_gradients(loss, images, f"the loss at {point}") > 0).all()):
            raise LawBroken(f"the gradient of the loss at {point} is zero in some image")


def forward_returns_one_type(subject: Subject) -> None:
    """Training and evaluation get the same type, which is a Prediction."""
    model = subject.model()
    kinds = set[type]()
    for point in subject.points(model):
        kinds |= {type(model.eval()(subject.images, point)), type(model.train()(subject.images, point))}
    if len(kinds) > 1 or not issubclass(next(iter(kinds)), Prediction):
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise LawBroken(f"forward returns {names}, in eval and training and over points: it must be one Prediction")


def _stages(subject: Subject, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
    try:
        return subject.method.stages(model, recipe)
    except InputError as refused:
        raise NotApplicable(f"under these options nothing is trained: {refused}") from refused


def _unreached(parameter: nn.Parameter) -> bool:
    return parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)


def _joined(predictions: list[Prediction], order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logits = torch.cat([p.logits for p in predictions])
    spent = torch.cat([cost.macs(p.usage).double() for p in predictions])
    return (logits, spent) if order is None else (logits[order], spent[order])
