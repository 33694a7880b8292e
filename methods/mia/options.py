"""Everything about MIA-Former that is fixed by training, and everything that the paper leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynvit.errors import InputError, unknown

from .learning import LearningOptions

Dimension = Literal["depth", "heads", "tokens"]
DIMENSIONS: tuple[Dimension, ...] = ("depth", "heads", "tokens")
THRESHOLDS: dict[str, str] = {"depth": "depth_threshold", "heads": "head_threshold", "tokens": "token_threshold"}
"""The knob of each dimension."""
NormForm = Literal["unmasked", "masked", "kept"]
AttentionChannels = Literal["all", "kept"]


@dataclass(frozen=True)
class MIAOptions(LearningOptions):
    """MIA-Former as it is built and trained. Sections and equations are those of arXiv 2112.11542.

    The authors published no code, so each choice that the text leaves open is an option, with the reason for its
    default. What is left open about the training is inherited: ``LearningOptions``.

    Raises: ``InputError`` for a value out of its range.
    """

    target: float = 0.85
    """FLOPs_target (§3.3) as a fraction of the dense backbone's MACs, controllers counted. In (0, 1]. The default is
    Table 2's full model, 3.9 of 4.6 G."""
    dimensions: tuple[str, ...] = DIMENSIONS
    """What is decided: any of depth, heads, tokens (Table 2). A dimension left out is always kept, without a branch."""

    # The controller (§3.2)
    pool: int = 4
    """CNN_b's pooling: to this many rows and columns, and to no more than half of the grid's. "A two-layer CNN with
    pooling" leaves its place and size open; on the whole 14×14 grid CNN_b would cost 2 % of a DeiT-S with kernel 1 and
    21 % with kernel 3; on 4×4 cells it costs 0.2 %. A depth decision is about the image, not about a position in it. At
    least 1."""
    pool_order: Literal["first", "between", "last"] = "first"
    """Whether that pooling comes before CNN_b's two layers, between or after them. First is the cheapest."""
    kernel: int = 1
    """CNN_b's kernel, odd; zeros around. 3 costs 9 times as much: on 4×4 cells 1.7 % of a DeiT-S instead of 0.2 %."""
    stride: int = 1
    """The stride of CNN_b's first layer. The pooling already makes the grid small."""
    convolution: Literal["dense", "separable"] = "dense"
    """A full convolution, or one by channel and then one of kernel 1. They differ for kernels over 1 alone."""
    controller_norm: Literal["layer", "none"] = "layer"
    """A LayerNorm before CNN_b and MLP_n. The residual stream grows with depth, and without a norm a controller has
    inputs of another scale in each block; DynamicViT, whose token branch the paper follows, has one."""
    activation: Literal["gelu", "relu", "hardswish"] = "gelu"
    """After each layer of the controller but the last. GELU is the backbone's and DynamicViT's."""
    head_fc: Literal["joint", "shared"] = "joint"
    """FC_h2 : R^(H×E') → R^H (Eq. 2). Joint reads all heads' features for each head. Shared is one E' → 1 for every
    head: 6 times cheaper, which saves almost nothing, and independent of the other heads' features."""
    class_token: Literal["apart", "read"] = "apart"
    """The class token is always kept: the head reads it, and it is not among the N = N_h·N_w tokens of Eq. 3. Apart:
    the controller reads the grid only, as its shapes say. Read: the class token is added to CNN_b's input."""
    static_blocks: int = 0
    """First blocks that have no controller and always run whole. The paper has a controller "ahead of each block";
    AdaViT's public code always runs its first block. From 0 to the depth less one."""
    init_logit: float = 2.0
    """The bias of each actor at the start. Without noise everything is kept, so a new model is its backbone; sampled,
    12 % is dropped, from which the first stage learns."""

    # The gates
    temperature: float = 1.0
    """τ of the Gumbel-sigmoid. One logit a decision, although the text says Gumbel softmax: of one logit only the
    sigmoid makes sense. Hard decisions do not depend on τ, their gradient does: at 1 it is the sigmoid's own slope.
    AdaViT has 5, DynamicViT 1. Above 0."""
    final_temperature: float = 1.0
    """τ at the end of co-training, reached geometrically. No schedule is in the paper, so none is by default."""

    # The block (Eq. 4)
    norm: NormForm = "unmasked"
    """LayerNorm of a half of the block that reads masked channels. Eq. 4 masks the block's input, and LayerNorm over
    zeros has other statistics. ``unmasked``: all channels are normalised, then masked, which costs nothing and is
    continuous in the masks. ``masked``: zeros enter the statistics, literally Eq. 4. ``kept``: over kept channels
    only."""
    attention_channels: AttentionChannels = "all"
    """What dropping a head takes from the attention beside the head. ``all``: q, k and v of the kept heads read every
    channel and the projection writes every channel, so attention costs h, as §3.1 says ("linear"). ``kept``: channels
    of dropped heads are neither read nor written there either, literally Eq. 4; q, k, v and the projection then
    cost h², and one head of six costs 0.039 of a block instead of 0.081. The MLP always has the kept channels only."""
    empty: Literal["skip", "best"] = "skip"
    """A block whose depth gate is open but that keeps no head (or, without a class token, no token). ``skip``: it is
    skipped, as the masks say. ``best``: its head (or token) of the highest logit is kept. With a class token a block
    may keep no patch token: it then runs on the class token only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "dimensions", _ordered(self.dimensions))
        if not 0 < self.target <= 1:
            raise InputError(f"option target must be above 0 and at most 1 of the dense MACs, got {self.target:g}")
        for name in ("pool", "stride"):
            if getattr(self, name) < 1:
                raise InputError(f"option {name} must be 1 or above, got {getattr(self, name)}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"option kernel must be 1, 3, 5 or another odd number, got {self.kernel}")
        for name in ("temperature", "final_temperature"):
            if getattr(self, name) <= 0:
                raise InputError(f"option {name} must be above 0, got {getattr(self, name):g}")
        if self.static_blocks < 0:
            raise InputError(f"option static_blocks must be 0 or above, got {self.static_blocks}")

    def decides(self, dimension: Dimension) -> bool:
        """Whether a dimension is decided by the controllers."""
        return dimension in self.dimensions


def _ordered(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in DIMENSIONS:
            raise unknown("dimension", name, DIMENSIONS)
    if not names:
        raise InputError(f"option dimensions must have one or more of {', '.join(DIMENSIONS)}; got none")
    return tuple(name for name in DIMENSIONS if name in names)
