"""Whether a gradient of the logits reaches the image, and the module that cuts it where none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from dynvit.backbones.build import image_size
from dynvit.budgets import noise_batch
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.search import draw


def check_gradient(model: DynamicModel, point: OperatingPoint, images: Tensor, label: str) -> None:
    """Refuse a model whose ``forward`` gives gradient attacks no gradient.

    Shape: images (B, 3, H, W). Raises: ``InputError`` that names the module at which the gradient ends.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        cut = _watch(model.eval(), lambda: model(images, point).logits)
    if cut is not None:
        raise InputError(
            f"method {label!r} gives an attack no gradient: its logits do not depend on the image {cut}; pass gates "
            "straight through (dynvit.ops.gates), or attack it with square alone"
        )


def check_some_point(label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]) -> None:
    """``check_gradient`` at any point, on any image: whether gradients reach it is a matter of code, not of weights."""
    point = model.neutral or OperatingPoint()
    if knobs:
        [point] = draw(knobs, seed=0, count=1)
    check_gradient(model, point, noise_batch(image_size(model.backbone)).images, label)


def _watch(model: nn.Module, run: Callable[[], Tensor]) -> str | None:
    """None where the result carries a gradient, else the first module that took one and gave none."""
    cut: list[str] = []
    last: list[str] = []
    handles = []
    names = {module: name for name, module in model.named_modules() if name}

    def hook(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        if any(tensor.requires_grad for tensor in _tensors(result)):
            last[:] = [names[module]]
        elif any(tensor.requires_grad for tensor in _tensors(given)):
            cut.append(names[module])

    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:  # a weight's gradient would look like the image's
        parameter.requires_grad_(False)
    try:
        handles = [module.register_forward_hook(hook) for module in names]
        carries = run().requires_grad
    finally:
        for handle in handles:
            handle.remove()
        for parameter in wanted:
            parameter.requires_grad_(True)
    if carries:
        return None
    if cut:
        return f"beyond {cut[-1]}, which cuts it"
    return f"beyond {last[-1]}, the last module that carries it" if last else "from its first module on"


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _tensors(inner)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
