"""What a law is checked on: a method on a backbone, with images; and what a law raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dynvit.interface import Batch, DynamicModel, KnobValue, Method, OperatingPoint, methods
from dynvit.knobs import knobs_of
from dynvit.search import draw
from dynvit.solving import solver_for

DRAWN = 4
"""Points that are drawn at random."""
CROWD, SMALL_PX = 64, 64
"""Images of a large batch, and up to which side they are small. Units: SMALL_PX pixels."""


class LawBroken(AssertionError):  # noqa: N818 - a verdict on a method, not a fault of the kit
    """A law does not hold; the message says where and by how much."""


class NotApplicable(Exception):  # noqa: N818
    """The law says nothing of the method; the message says why."""


@dataclass(frozen=True)
class Subject:
    """A method on a backbone, with images, all in float64.

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

    def knobs(self) -> Mapping[str, BaseDistribution]:
        """The method's knobs on the backbone."""
        return knobs_of(self.method, self.options, self.make_backbone)

    def points(self, model: DynamicModel) -> list[OperatingPoint]:
        """The neutral and the trained point, the ends and the middle of the feasible range, the corners at which all
        knobs are at one end, and some points drawn at random."""
        knobs = self.knobs()
        points = [point for point in (model.neutral, model.trained_point) if point is not None]
        solver = solver_for(model, self.method.budget_knob, knobs, [self.batch()])
        if solver is not None:
            feasible = solver.range()
            points += solver.solve([feasible.low + part * (feasible.high - feasible.low) for part in (0.0, 0.5, 1.0)])
        if knobs:
            points += [OperatingPoint(**{name: _ends(knob)[end] for name, knob in knobs.items()}) for end in (0, 1)]
        points += draw(knobs, self.seed, DRAWN if knobs else 1)
        return list(dict.fromkeys(points))

    def crowd(self) -> Tensor:
        """A batch as large as a bench's, of different images, of which the subject's are the first.

        Shape: (CROWD, 3, H, W), a quarter of it where images are large.
        """
        channels, height, width = self.images[0].shape
        count = CROWD if width <= SMALL_PX else CROWD // 4
        drawn = torch.rand(
            count, channels, height, width, generator=torch.Generator().manual_seed(self.seed + 2), dtype=torch.float64
        )
        return torch.cat([self.images, drawn[len(self.images) :]])

    def batch(self) -> Batch:
        """The images as a training batch."""
        classes = self.make_backbone().num_classes
        targets = F.one_hot(self.labels % classes, classes).double()  # type: ignore[operator, arg-type]
        return Batch(self.images, self.labels, targets)


def _ends(knob: BaseDistribution) -> tuple[KnobValue, KnobValue]:
    """The first and the last value of a knob."""
    if isinstance(knob, FloatDistribution | IntDistribution):
        return knob.low, knob.high
    choices: Sequence[KnobValue] = getattr(knob, "choices", ())
    return choices[0], choices[-1]


def _spread(backbone: nn.Module) -> nn.Module:
    """Weights large enough that logits and attention differ between images: fresh ones are near constant.

    A batch norm gets a scale that is not zero, because LeViT's branches start switched off, and the
    statistics of a few random images: without them activations grow from layer to layer, until attention is on one
    token.
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
            # A pooled head has the same output for all noise images, and its norm would then magnify rounding.
            backbone.train()(torch.randn(32, 3, 1, 1) + torch.randn(32, 1, 1, 1) * torch.randn(32, *size))
    return backbone


Law = Callable[[Subject], None]
"""Returns where it holds. Raises: ``LawBroken`` where it does not, ``NotApplicable`` where it says nothing."""
