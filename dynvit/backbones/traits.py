"""What ViTs of timm's have besides a plain one, by name: a method says which of it it serves."""

from __future__ import annotations

from timm.layers import Attention, AttentionPoolLatent, GluMlp, Mlp, PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from dynvit.backbones.t2t import TokensToToken
from dynvit.interface import EVERY_TRAIT, Trait, methods

PHRASES: dict[Trait, str] = {
    "no class token": "it has no class token",
    "registers": "it has register tokens",
    "distillation token": "it has a distillation token",
    "average pooling": "it pools by the mean of its patches",
    "attention pooling": "it pools by attention to its patches",
    "gated MLPs": "its MLPs are gated",
}
assert set(PHRASES) == EVERY_TRAIT


def traits_of(model: VisionTransformer) -> frozenset[Trait]:
    """What a ViT has besides one class token, which its head reads."""
    found: dict[Trait, bool] = {
        "no class token": not model.has_class_token,
        "registers": model.num_reg_tokens > 0,
        "distillation token": isinstance(model, VisionTransformerDistilled),
        "average pooling": model.global_pool == "avg",
        "attention pooling": model.global_pool == "map",
        "gated MLPs": any(isinstance(block.mlp, GluMlp) for block in model.blocks),
    }
    return frozenset(trait for trait, there in found.items() if there)


def unserved(model: nn.Module, served: frozenset[Trait]) -> str:
    """What in a model keeps it from whoever serves plain ViTs with ``served``, and who serves it; or nothing."""
    reason = _unknown(model)
    if reason:
        return reason
    assert isinstance(model, VisionTransformer)
    there = traits_of(model)
    lacking = [PHRASES[trait] for trait in PHRASES if trait in there - served]
    if not lacking:
        return ""
    others = sorted(name for name, kind in methods.load_all().items() if there <= kind.serves)
    return f"{' and '.join(lacking)}, which {', '.join(others)} serve"


def _unknown(model: nn.Module) -> str:
    """What nothing here serves: a method that ignores it would be silently wrong."""
    if isinstance(model, Eva) and model.rope is not None:
        return "its positions are rotary, so that only its whole blocks are run, by dense"
    if not isinstance(model, VisionTransformer):
        return f"it is a {type(model).__name__}, not a timm VisionTransformer"
    if model.global_pool not in ("token", "avg", "map") or (model.global_pool == "avg" and model.pool_include_prefix):
        return f"it pools by {model.global_pool!r} over {model.num_prefix_tokens} prefix tokens and its patches"
    if not isinstance(model.patch_embed, (PatchEmbed, TokensToToken)) or not isinstance(model.head, nn.Linear):
        return "its patch embedding or head is not the plain one"
    if model.attn_pool is not None and (
        type(model.attn_pool) is not AttentionPoolLatent
        or model.attn_pool.pos_embed is not None
        or not isinstance(model.attn_pool.q, nn.Linear)
        or model.attn_pool.mlp is None
    ):
        return "its attention pooling is not the plain one"
    for index, block in enumerate(model.blocks):
        # Subclasses compute something else; the cost formulas describe the exact types.
        if type(block) is not Block or type(block.attn) is not Attention:
            return f"block {index} is a {type(block).__name__} with {type(block.attn).__name__}"
        if getattr(block.attn, "gate", None) is not None:
            return f"block {index} has gated attention"
        if type(block.mlp) not in (Mlp, GluMlp):
            return f"block {index} has a {type(block.mlp).__name__}"
        if not isinstance(getattr(block.mlp, "norm", nn.Identity()), nn.Identity):
            return f"block {index} has a normalised MLP"
    return ""
