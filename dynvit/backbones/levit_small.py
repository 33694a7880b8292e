"""A LeViT for small images, registered with timm: the function's name is the model's name."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.levit import Levit

default_cfgs = generate_default_cfgs(
    {
        "levit_cifar": {
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.2470, 0.2435, 0.2616),
            "input_size": (3, 64, 64),
            "num_classes": 10,
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "fixed_input_size": True,
            "first_conv": "stem.conv1.linear",
            "classifier": "head.linear",
        }
    }
)


@register_model  # type: ignore[untyped-decorator]
def levit_cifar(pretrained: bool = False, **kwargs: Any) -> Levit:
    """Images of 64×64 pixels in steps of 8: grids of 8×8, 4×4 and 2×2, widths 64, 80, 128 with 2, 3 and 4 heads.

    Twice CIFAR's size, as the stem's steps are coarse: at 32 pixels the last grid is one token. As in LeViT-192, the
    heads of the middle stage do not divide its width.
    """
    shape = {"img_size": 64, "embed_dim": (64, 80, 128), "key_dim": 16, "num_heads": (2, 3, 4), "depth": (2, 2, 2)}
    settings: dict[str, Any] = shape | {"stem_type": "s8", "num_classes": 10} | kwargs
    return build_model_with_cfg(
        Levit, "levit_cifar", pretrained, feature_cfg={"flatten_sequential": True, "out_indices": (0, 1, 2)}, **settings
    )
