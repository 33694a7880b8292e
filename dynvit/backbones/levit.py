"""What a method may rely on in a timm LeViT: embed, blocks, classify, and the cost of each.

LeViT (Graham et al., arXiv 2104.01136): a stem of convolutions, three stages of attention and MLP on ever smaller
grids, shrinking attention between them, the mean over tokens and a head (two, averaged, where it was distilled). No
class token; positions are attention biases by offset; every linear layer carries its own batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timm.models.levit import (
    Attention,
    AttentionDownsample,
    ConvNorm,
    Levit,
    LevitBlock,
    LevitDistilled,
    LevitDownsample,
    NormLinear,
    Stem8,
    Stem16,
)
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.interface import Part

BATCH_NORM = 2  # fvcore's count of an element: with fixed statistics it is one scale and one shift


@dataclass(frozen=True)
class LeViTBlockShape:
    """The sizes of one block, shrinking or not. ``name`` is its path in timm's model.

    A shrinking block reads ``keys`` tokens of ``width_in`` channels and makes ``patches`` of ``width``; in any other
    the two are alike. ``grid`` is the rows and columns that it leaves.
    """

    name: str
    stage: int
    shrinks: bool
    width_in: int
    width: int
    heads: int
    key_dim: int
    value_dim: int
    hidden: int
    keys: int
    grid: tuple[int, int]

    @property
    def patches(self) -> int:
        """Tokens that the block leaves; all are patches."""
        return self.grid[0] * self.grid[1]


class LeViT:
    """Adapter of a timm LeViT in its linear form. It owns no weights.

    ``tokens = levit.embed(images)``; each of ``levit.blocks`` on the tokens; ``levit.classify(tokens)``. Together
    these equal the backbone on normalised images. Biases are read from the weights each time: timm keeps a copy in
    eval mode, with its graph, and a second gradient through it fails.

    Raises: ``InputError`` that names what in the model is not a plain LeViT, or which image size does not fit.
    """

    def __init__(self, model: nn.Module, needed_by: str = "this method") -> None:
        reason = _not_plain(model)
        if reason:
            name = getattr(model, "pretrained_cfg", {}).get("architecture") or type(model).__name__
            raise InputError(
                f"{needed_by} cannot serve backbone {name!r}: {reason}; it takes a timm levit_192 or the like"
            )
        assert isinstance(model, Levit)
        self.model = model
        self.normalize = Normalize.of(model)
        self.modules = _flat(model)
        self.shapes = tuple(_shape(model, name, module) for name, module in self.modules.items())
        self.blocks = tuple(LeViTRun(module) for module in self.modules.values())
        stride, first = int(model.stem.stride), model.stages[0].blocks[0].attn.resolution
        self.image_size = (stride * first[0], stride * first[1])
        size = (getattr(model, "pretrained_cfg", None) or {}).get("input_size", (3, *self.image_size))[-2:]
        if tuple(size) != self.image_size:
            raise InputError(
                f"{needed_by}: LeViT's stem takes steps of {stride} pixels, which do not divide an image of "
                f"{size[0]}×{size[1]}: give a multiple, {self.image_size[0]} for one"
            )

    @property
    def block_tokens(self) -> tuple[int, ...]:
        """Tokens that each block leaves, where all of it runs."""
        return tuple(shape.patches for shape in self.shapes)

    @property
    def classes(self) -> int:
        """Classes of the head."""
        return int(self.model.num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Normalise and run the stem.

        Shape: images (B, 3, H, W) → tokens (B, patches, width). Units: pixels in [0, 1].
        Raises: ``InputError`` for another image size than the backbone's.
        """
        if tuple(images.shape[-2:]) != self.image_size:
            raise InputError(
                f"the backbone takes images of {self.image_size[0]}×{self.image_size[1]} pixels, "
                f"not {images.shape[-2]}×{images.shape[-1]}: set the image size when the backbone is made"
            )
        return self.model.stem(self.normalize(images)).flatten(2).transpose(1, 2)

    def classify(self, tokens: Tensor) -> Tensor:
        """The mean over tokens and the head; of a distilled model the mean of both heads.

        Shape: tokens (B, patches, width) → logits (B, classes).
        """
        pooled = tokens.mean(1)
        if isinstance(self.model, LevitDistilled):
            return (self.model.head(pooled) + self.model.head_dist(pooled)) / 2
        return self.model.head(pooled)

    def embed_parts(self) -> list[Part]:
        """The work of ``embed``."""
        (height, width), parts = self.image_size, list[Part]()
        for name, layer in self.model.stem.named_children():
            if isinstance(layer, ConvNorm):
                conv = layer.linear
                height, width = height // conv.stride[0], width // conv.stride[1]
                parts.append(cost.Convolution(f"stem.{name}", height * width, conv.in_channels * 9, conv.out_channels))
                parts.append(_norm(f"stem.{name}.bn", height * width * conv.out_channels))
        return parts

    def block_parts(self, index: int) -> list[Part]:
        """The work of one whole block."""
        s = self.shapes[index]
        if not s.shrinks:
            return [*attention_parts(s, s.patches, s.heads), *mlp_parts(s, s.patches, s.width, s.hidden)]
        name, keys, values = f"{s.name}.attn_downsample", s.heads * s.key_dim, s.heads * s.value_dim
        return [
            *_linear(f"{name}.kv", s.keys, s.width_in, keys + values),
            *_linear(f"{name}.q", s.patches, s.width_in, keys),
            cost.Attention(name, s.patches, s.keys, s.heads, s.key_dim, s.value_dim),
            *_linear(f"{name}.proj", s.patches, values, s.width),
            *mlp_parts(s, s.patches, s.width, s.hidden),
        ]

    def classify_parts(self) -> list[Part]:
        """The work of ``classify``."""
        heads = ("head", "head_dist") if isinstance(self.model, LevitDistilled) else ("head",)
        width = self.shapes[-1].width
        return [
            part
            for head in heads
            for part in (_norm(f"{head}.bn", width), cost.Linear(f"{head}.linear", 1, width, self.classes))
        ]

    def parts(self) -> list[Part]:
        """The work of the whole backbone on one image."""
        blocks = [part for index in range(len(self.shapes)) for part in self.block_parts(index)]
        return [*self.embed_parts(), *blocks, *self.classify_parts()]


@dataclass(frozen=True)
class LeViTRun:
    """One block as a function of tokens. Shape: (B, keys, width_in) → (B, patches, width)."""

    module: LevitBlock | LevitDownsample

    def __call__(self, tokens: Tensor) -> Tensor:
        """The whole block."""
        block = self.module
        if isinstance(block, LevitDownsample):
            shrunk = _shrinking_attention(block.attn_downsample, tokens)
            return shrunk + block.drop_path(block.mlp(shrunk))
        tokens = tokens + block.drop_path1(_attention(block.attn, tokens))
        return tokens + block.drop_path2(block.mlp(tokens))


def attention_inputs(attention: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a block that keeps its grid.

    Shape: tokens (B, n, width) → (B, heads, n, key_dim) twice, (B, heads, n, value_dim).
    """
    joined = attention.qkv(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    return joined.split([attention.key_dim, attention.key_dim, attention.val_dim], dim=-1)


def relative_bias(attention: Attention | AttentionDownsample) -> Tensor:
    """The attention bias of each pair, by the offset between the two. Shape: (heads, queries, keys)."""
    return attention.attention_biases[:, attention.attention_bias_idxs]


def attention_parts(
    shape: LeViTBlockShape,
    tokens: cost.Count,
    heads: cost.Count,
    width: cost.Count | None = None,
    keys: cost.Count | None = None,
) -> list[Part]:
    """The attention half of a block on some of its tokens and heads.

    ``width`` are the channels that are read and written, default all; ``keys`` the tokens that each token sees,
    default as many.
    """
    name, channels = f"{shape.name}.attn", shape.width if width is None else width
    seen = tokens if keys is None else keys
    return [
        *_linear(f"{name}.qkv", tokens, channels, heads * (2 * shape.key_dim + shape.value_dim)),
        cost.Attention(name, tokens, seen, heads, shape.key_dim, shape.value_dim),
        *_linear(f"{name}.proj", tokens, heads * shape.value_dim, channels),
    ]


def mlp_parts(shape: LeViTBlockShape, tokens: cost.Count, width: cost.Count, hidden: cost.Count) -> list[Part]:
    """The MLP half of a block on some of its tokens, channels and hidden units."""
    name = f"{shape.name}.mlp"
    return [*_linear(f"{name}.ln1", tokens, width, hidden), *_linear(f"{name}.ln2", tokens, hidden, width)]


def _attention(attention: Attention, tokens: Tensor) -> Tensor:
    queries, keys, values = attention_inputs(attention, tokens)
    logits = queries * attention.scale @ keys.transpose(-2, -1) + relative_bias(attention)
    return attention.proj((logits.softmax(-1) @ values).transpose(1, 2).flatten(2))


def _shrinking_attention(attention: AttentionDownsample, tokens: Tensor) -> Tensor:
    joined = attention.kv(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    keys, values = joined.split([attention.key_dim, attention.val_dim], dim=-1)
    queries = attention.q(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    logits = queries * attention.scale @ keys.transpose(-2, -1) + relative_bias(attention)
    return attention.proj((logits.softmax(-1) @ values).transpose(1, 2).flatten(2))


def _linear(name: str, rows: cost.Count, d_in: cost.Count, d_out: cost.Count) -> list[Part]:
    return [cost.Linear(name, rows, d_in, d_out), _norm(f"{name}.bn", rows * d_out)]


def _norm(name: str, elements: cost.Count) -> Part:
    return cost.Normalization(name, elements, per_element=BATCH_NORM)


def _flat(model: Levit) -> dict[str, LevitBlock | LevitDownsample]:
    """All blocks in the order in which they run, by their paths."""
    found: dict[str, LevitBlock | LevitDownsample] = {}
    for index, stage in enumerate(model.stages):
        if isinstance(stage.downsample, LevitDownsample):
            found[f"stages.{index}.downsample"] = stage.downsample
        found |= {f"stages.{index}.blocks.{place}": block for place, block in enumerate(stage.blocks)}
    return found


def _shape(model: Levit, name: str, module: LevitBlock | LevitDownsample) -> LeViTBlockShape:
    shrinks, stage = isinstance(module, LevitDownsample), int(name.split(".")[1])
    attention = module.attn_downsample if shrinks else module.attn
    grid = model.stages[stage].blocks[0].attn.resolution
    return LeViTBlockShape(
        name=name,
        stage=stage,
        shrinks=shrinks,
        width_in=(attention.kv if shrinks else attention.qkv).linear.in_features,
        width=attention.proj.ln.linear.out_features,
        heads=attention.num_heads,
        key_dim=attention.key_dim,
        value_dim=attention.val_dim,
        hidden=module.mlp.ln1.linear.out_features,
        keys=attention.attention_bias_idxs.shape[-1],
        grid=(int(grid[0]), int(grid[1])),
    )


def _not_plain(model: Any) -> str:
    """Why a model is not a LeViT as described above, or nothing."""
    if type(model) not in (Levit, LevitDistilled):
        return f"it is a {type(model).__name__}, not a timm Levit"
    if model.use_conv:
        return "its layers are written as convolutions, and its version without conv in the name is the same model"
    if not isinstance(model.stem, (Stem8, Stem16)):
        return f"its stem is a {type(model.stem).__name__}"
    if model.global_pool != "avg" or not isinstance(model.head, NormLinear):
        return "it has no pooled head"
    if any(len(stage.blocks) == 0 for stage in model.stages):
        return "one of its stages has no block"
    for name, block in _flat(model).items():
        if type(block) not in (LevitBlock, LevitDownsample):
            return f"{name} is a {type(block).__name__}"
    return ""
