"""How laws compare: within rounding of float64, and by name of what differs."""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit import cost
from dynvit.interface import Usage
from dynvit.testing.subject import LawBroken

TOLERANCE = 1e-8  # float64, where a difference of form is rounding and a difference of meaning is not


def close(one: Tensor, other: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raises: ``LawBroken`` where two tensors differ in shape, or by more than rounding.

    Shape: any, the same of both.
    """
    if one.shape != other.shape:
        raise LawBroken(f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
    scale = max(1.0, float(other.abs().max()))
    gap = float((one - other).abs().max()) / scale
    if not gap <= tolerance:
        raise LawBroken(f"{what} differ by {gap:.2g} of {scale:.3g}, allowed {tolerance:.0g}")


def same_usage(one: Usage, other: Usage, names: str, where: str) -> None:
    """Raises: ``LawBroken`` where two usages differ in MACs, or in what they say was decided."""
    close(cost.macs(one).double(), cost.macs(other).double(), f"MACs of {names} {where}")
    for field in ("tokens", "heads", "exit"):
        first, second = getattr(one, field), getattr(other, field)
        if (first is None) != (second is None):
            raise LawBroken(f"only one of {names} reports usage.{field} {where}")
        if first is not None:
            close(first.double(), second.double(), f"usage.{field} of {names} {where}")


def image_gradients(value: Tensor, images: Tensor, what: str) -> Tensor:
    """Length of the gradient of ``value``, summed, in each image. Shape: images (B, 3, H, W) → (B,).

    Raises: ``LawBroken`` where there is none, or it is not finite.
    """
    found = torch.autograd.grad(value.sum(), images, allow_unused=True)[0] if value.requires_grad else None
    if found is None:
        raise LawBroken(f"no gradient of {what} reaches the image")
    if not bool(torch.isfinite(found).all()):
        raise LawBroken(f"the gradient of {what} in the image is not finite")
    return found.abs().flatten(1).sum(1)
