"""Attacks by name. The core brings none yet; an installed package may register some."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.registry import Registry

Attack = Callable[[DynamicModel, OperatingPoint, Tensor, Tensor], Tensor]
"""(model, point, images, labels) → adversarial images. Shape: (B, 3, H, W). Units: pixels in [0, 1]."""

attacks: Registry[Attack] = Registry("attack", "dynvit.attacks")
register_attack = attacks.register
