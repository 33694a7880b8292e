"""Normalisation: from pixels in [0, 1] to the inputs that a backbone was trained on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from dynvit.ops.upload import uploaded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalize:
    """(pixels − mean) / std by channel.

    Units: pixels in [0, 1]. Shape: (B, 3, H, W) → the same.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @classmethod
    def of(cls, backbone: nn.Module) -> Normalize:
        """The mean and std of the backbone's timm config; ImageNet's where it has none."""
        config = getattr(backbone, "pretrained_cfg", None) or {}
        return cls(tuple(config.get("mean") or IMAGENET_MEAN), tuple(config.get("std") or IMAGENET_STD))

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise; the result has the images' dtype and device."""
        mean = uploaded(self.mean, images.device, images.dtype).view(-1, 1, 1)
        std = uploaded(self.std, images.device, images.dtype).view(-1, 1, 1)
        return (images - mean) / std
