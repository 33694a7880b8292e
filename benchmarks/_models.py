"""Models with drawn weights: enough to count and to time methods that keep a fixed number of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from dynvit.backbones.build import BackboneSpec, build
from dynvit.interface import DynamicModel, OperatingPoint, methods
from dynvit.options import parse_options


def drawn(method: str, backbone: str, options: Sequence[str] = ()) -> DynamicModel:
    """``method`` on ``backbone``, ready to predict. Raises: ``InputError`` for a name or option that does not exist."""
    kind = methods.get(method)
    return kind().attach(build(BackboneSpec(backbone)), parse_options(kind.Options, options)).eval()


def point_at(model: DynamicModel, keep_ratio: float | None) -> OperatingPoint:
    """The point of a keep ratio; the model's own where there is none to choose."""
    return (model.neutral or OperatingPoint()) if keep_ratio is None else OperatingPoint(keep_ratio=keep_ratio)
