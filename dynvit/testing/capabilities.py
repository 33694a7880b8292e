"""The laws of capabilities: what is declared is overridden and works, and what is overridden is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import torch
import torch.nn.functional as F

from dynvit import cost
from dynvit.budgets import mean_macs
from dynvit.errors import InputError
from dynvit.interface import CAPABILITY_METHODS, Batch, Capability, DynamicModel, Method, OperatingPoint
from dynvit.testing.comparison import close, image_gradients, same_usage
from dynvit.testing.subject import Law, LawBroken, NotApplicable, Subject


def declared_capabilities_are_overridden(subject: Subject) -> None:
    """A capability that is declared exists, and all of its methods are overridden."""
    model, known = type(subject.model()), get_args(Capability)
    for capability in model.supports | subject.model().supports:
        if capability not in known:
            raise LawBroken(f"{model.__name__}.supports must be of {', '.join(known)}: it has {capability!r}")
        if capability == "explanations":
            raise LawBroken(
                f'{model.__name__}.supports declares "explanations": the method declares them, '
                f"by {type(subject.method).__name__}.explains = True"
            )
    for owner, capability, declared in _declarations(subject):
        missing = [name for name in CAPABILITY_METHODS[capability] if not _overrides(owner, name)]
        if declared and missing:
            raise LawBroken(f'{owner.__name__} declares "{capability}" and does not override {", ".join(missing)}')


def overridden_capabilities_are_declared(subject: Subject) -> None:
    """A capability whose methods are overridden is declared."""
    for owner, capability, declared in _declarations(subject):
        found = [name for name in CAPABILITY_METHODS[capability] if _overrides(owner, name)]
        if found and not declared:
            needed = "set explains = True" if capability == "explanations" else f'add "{capability}" to supports'
            raise LawBroken(f"{owner.__name__} overrides {', '.join(found)} and does not declare it: {needed}")


def solved_budgets_are_kept(subject: Subject) -> None:
    """Points that a model solves cost no more than their budgets, and lie in its feasible range; without labels, too,
    where it says that it needs none."""
    model, batch = subject.model(), subject.batch()
    _needs(model, "budgets")
    spent = _check_solved(model, model.solve, [batch])
    if any(later < earlier for earlier, later in pairwise(spent)) or spent[0] >= spent[-1]:
        raise LawBroken(f"MACs of points that are solved do not rise with the budget: {[f'{m:.4g}' for m in spent]}")
    if model.solves_unlabelled:
        unknown = torch.full_like(batch.labels, -1)
        _check_solved(model, model.solve, [replace(batch, labels=unknown, targets=torch.zeros_like(batch.targets))])


def budgets_solved_for_accuracy_are_kept(subject: Subject) -> None:
    """Points that a model solves for accuracy cost no more than their budgets, and lie in its feasible range."""
    model = subject.model()
    _needs(model, "accurate budgets")
    if "budgets" not in model.supports:
        raise LawBroken('a model that supports "accurate budgets" has to support "budgets"')
    _check_solved(model, model.solve_for_accuracy, [subject.batch()])


Solved = Callable[[Sequence[float], Sequence[Batch]], Sequence[OperatingPoint]]


def _check_solved(model: DynamicModel, solve: Solved, calibration: Sequence[Batch]) -> list[float]:
    low, high = model.feasible_range(calibration)
    if not 0 < low < high:
        raise LawBroken(f"feasible_range gives {low:.4g} to {high:.4g} MACs: the first must be lower, and above 0")
    budgets = torch.linspace(low, high, 5, dtype=torch.float64).tolist()
    spent = [mean_macs(model, point, calibration) for point in solve(budgets, calibration)]
    for macs, budget in zip(spent, budgets, strict=True):
        if macs > budget * (1 + 1e-9):
            raise LawBroken(f"the point for a budget of {budget:.4g} MACs costs {macs:.4g}")
        if macs < low * (1 - 1e-9):
            raise LawBroken(f"a solved point costs {macs:.4g} MACs, feasible_range begins at {low:.4g}")
    for budget in (0.99 * low, 1.01 * high):
        try:
            solve([budget], calibration)
        except InputError:
            continue
        raise LawBroken(f"solve takes a budget of {budget:.4g} MACs, feasible_range is {low:.4g} to {high:.4g}")
    return spent


def frozen_gates_repeat_decisions(subject: Subject) -> None:
    """Frozen gates give ``forward``'s logits on the images of the decisions, and the same decisions on any other."""
    model = subject.model()
    _needs(model, "frozen gates")
    for point in subject.points(model):
        with torch.no_grad():
            decided = model(subject.images, point)
            same = model.forward_frozen(subject.images, point, decided)
            other = model.forward_frozen(1 - subject.images, point, decided)
        close(same.logits, decided.logits, f"logits of forward_frozen and forward at {point}")
        same_usage(same.usage, decided.usage, "forward_frozen and forward", f"at {point}")
        same_usage(other.usage, decided.usage, "forward_frozen on other images and forward", f"at {point}")


def surrogate_logits_reach_the_image(subject: Subject) -> None:
    """Surrogate logits have the shape of logits, and a finite gradient in every image."""
    model = subject.model()
    _needs(model, "surrogate logits")
    for point in subject.points(model):
        images = subject.images.clone().requires_grad_()
        prediction = model(images, point)
        logits = model.surrogate_logits(images, point, prediction)
        if logits.shape != prediction.logits.shape:
            raise LawBroken(f"surrogate_logits have shape {tuple(logits.shape)}, not {tuple(prediction.logits.shape)}")
        loss = F.cross_entropy(logits, subject.labels % logits.shape[1])
        if not bool((image_gradients(loss, images, f"surrogate_logits at {point}") > 0).all()):
            raise LawBroken(f"the gradient of surrogate_logits at {point} is zero in some image")


def compute_proxies_reach_the_image(subject: Subject) -> None:
    """The compute proxy is one finite number an image, with a finite gradient that is not zero at every point."""
    model, reached = subject.model(), False
    _needs(model, "compute proxy")
    for point in subject.points(model):
        images = subject.images.clone().requires_grad_()
        proxy = model.compute_proxy(images, point, model(images, point))
        if proxy.shape != (len(images),) or not bool(torch.isfinite(proxy).all()):
            raise LawBroken(f"compute_proxy must be one finite number an image at {point}: shape {tuple(proxy.shape)}")
        reached |= bool((image_gradients(proxy, images, f"compute_proxy at {point}") > 0).any())
    if not reached:
        raise LawBroken("the gradient of compute_proxy is zero in every image at every point")


def explanations_agree_with_predict(subject: Subject) -> None:
    """One explanation an image, with the answer and the MACs of ``predict``."""
    if not subject.method.explains:
        raise NotApplicable("the method does not explain")
    model = subject.model()
    for point in subject.points(model):
        with torch.no_grad():
            prediction = model.predict(subject.images, point)
            found = subject.method.explain(model, subject.images, point)
        told = [(one.answer, one.macs) for one in found]
        done = list(zip(prediction.logits.argmax(1).tolist(), cost.macs(prediction.usage).tolist(), strict=True))
        if told != done:
            raise LawBroken(f"explanations have (answer, MACs) {told} at {point}, predict has {done}")


CAPABILITY_LAWS: Mapping[Capability, Law] = {
    "budgets": solved_budgets_are_kept,
    "accurate budgets": budgets_solved_for_accuracy_are_kept,
    "frozen gates": frozen_gates_repeat_decisions,
    "surrogate logits": surrogate_logits_reach_the_image,
    "compute proxy": compute_proxies_reach_the_image,
    "explanations": explanations_agree_with_predict,
}
"""The law of each capability."""


def _declarations(subject: Subject) -> Iterator[tuple[type, Capability, bool]]:
    """Who may declare a capability, and whether it does; a model may remove what its class declares."""
    instance, method = subject.model(), type(subject.method)
    model, supports = type(instance), type(instance).supports | instance.supports
    for capability in CAPABILITY_METHODS:
        if capability == "explanations":
            yield method, capability, method.explains
        else:
            yield model, capability, capability in supports


def _overrides(owner: type, name: str) -> bool:
    base = Method if issubclass(owner, Method) else DynamicModel
    return getattr(owner, name) is not getattr(base, name)


def _needs(model: DynamicModel, capability: Capability) -> None:
    if capability not in model.supports:
        raise NotApplicable(f"the model does not support {capability}")
