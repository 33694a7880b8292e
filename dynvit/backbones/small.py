"""Plain ViTs that timm does not have, registered with it: a function's name is the model's name."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

_DIGITS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, 8, 8), "num_classes": 10}
_CIFAR = {
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2470, 0.2435, 0.2616),
    "input_size": (3, 32, 32),
    "num_classes": 10,
}
_SHARED = {
    "crop_pct": 1.0,
    "interpolation": "bicubic",
    "fixed_input_size": True,
    "first_conv": "patch_embed.proj",
    "classifier": "head",
}

_DEIT = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "input_size": (3, 224, 224),
    "num_classes": 1000,
    "crop_pct": 0.9,
}

default_cfgs = generate_default_cfgs(
    {
        "vit_digits": _SHARED | _DIGITS,
        "vit_cifar": _SHARED | _CIFAR,
        "deit_256_patch16_224": _SHARED | _DEIT,
    }
)


def _plain(variant: str, pretrained: bool, shape: dict[str, Any], given: dict[str, Any]) -> VisionTransformer:
    return build_model_with_cfg(VisionTransformer, variant, pretrained, **(shape | given))


@register_model  # type: ignore[untyped-decorator]
def vit_digits(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Digits of 8×8 pixels in patches of 2: 16 tokens, width 48, 6 blocks of 3 heads, MLP ×2; 2.06 MMACs.

    Position embeddings start as large as patch embeddings: with timm's 0.02 the model takes twice as many epochs to
    the same accuracy.
    """
    shape = {"img_size": 8, "patch_size": 2, "embed_dim": 48, "depth": 6, "num_heads": 3, "mlp_ratio": 2}
    model = _plain("vit_digits", pretrained, shape | {"num_classes": 10}, kwargs)
    nn.init.trunc_normal_(model.pos_embed, std=0.5)
    return model


@register_model  # type: ignore[untyped-decorator]
def vit_cifar(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Images of 32×32 pixels in patches of 4: 64 tokens, width 192, 9 blocks of 3 heads, as DeiT-Tiny's."""
    shape = {"img_size": 32, "patch_size": 4, "embed_dim": 192, "depth": 9, "num_heads": 3, "mlp_ratio": 4}
    return _plain("vit_cifar", pretrained, shape | {"num_classes": 10}, kwargs)


@register_model  # type: ignore[untyped-decorator]
def deit_256_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DynamicViT's DeiT-256, between DeiT-Tiny and DeiT-Small: width 256, 12 blocks of 4 heads; 2.14 GMACs."""
    shape = {"img_size": 224, "patch_size": 16, "embed_dim": 256, "depth": 12, "num_heads": 4, "mlp_ratio": 4}
    return _plain("deit_256_patch16_224", pretrained, shape, kwargs)
