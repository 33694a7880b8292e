"""AdaViT on a plain ViT: masked for training and attacks, executed for inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.packed import not_grouped
from dynvit.backbones.strength import StrengthModel
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.interface import Batch, OperatingPoint, Part, Prediction, Usage
from dynvit.ops.threshold_path import ThresholdPath
from dynvit.ops.thresholds import open_above, sampled_gate, threshold_gate

from .block import masked_block, packed_block
from .masks import Gates, Masks
from .options import DIMENSIONS, THRESHOLDS, TRAINED, AdaViTOptions
from .policy import Policy, policy_parts

Decide = Callable[[int, Gates, Masks], Masks]
"""(block, its gates, masks that keep all) → its masks."""


@dataclass(frozen=True)
class AdaViTPrediction(Prediction):
    """The gates and the masks of each block, in the order of the blocks.

    ``masks`` are what ran: straight-through and floating in the differentiable form, bool from ``predict``.
    """

    gates: tuple[Gates, ...]
    masks: tuple[Masks, ...]


class AdaViTModel(StrengthModel):
    """A plain ViT with a policy before each block: which halves of it, which heads and which tokens run.

    A dimension whose threshold is 0 is not decided: nothing of it is dropped, and its gates do not run. So all at 0 is
    the backbone, in logits and in cost.
    """

    name = "adavit"

    def __init__(self, backbone: nn.Module, options: AdaViTOptions) -> None:
        super().__init__()
        self.backbone, self.vit, self.options = backbone, PlainViT(backbone, needed_by="method adavit"), options
        reason, shape = not_grouped(self.vit), self.vit.shape
        if reason:
            raise InputError(f"method adavit cannot serve this backbone: {reason}; it takes a DeiT, for one")
        if options.static_blocks >= shape.depth:
            raise InputError(
                f"option static_blocks must be less than the backbone's {shape.depth} blocks, got "
                f"{options.static_blocks}"
            )
        self.policies = nn.ModuleList(
            Policy(shape.width, shape.heads, self._decided(index), options.init_logit) for index in range(shape.depth)
        )
        self.neutral, self.cheapest = self.point(dict.fromkeys(TRAINED, 0.0)), self.point(dict.fromkeys(TRAINED, 1.0))
        self.trained_point: OperatingPoint = self.point(TRAINED)

    def point(self, thresholds: Mapping[str, float]) -> OperatingPoint:
        """The thresholds of the dimensions that are decided, as knobs."""
        return OperatingPoint(**{THRESHOLDS[name]: thresholds[name] for name in self.options.dimensions})

    def thresholds(self, point: OperatingPoint) -> dict[str, float]:
        """The knobs as thresholds by dimension, 0 for one that is not decided.

        Raises: ``InputError`` for a knob that is missing or out of its range.
        """
        found: dict[str, float] = dict.fromkeys(DIMENSIONS, 0.0)
        for name in self.options.dimensions:
            value = point.number(THRESHOLDS[name])
            if not 0 <= value <= 1:
                raise InputError(f"knob {THRESHOLDS[name]} must be from 0 (keep all) to 1 (drop all), got {value:g}")
            found[name] = float(value)
        return found

    def forward(self, images: Tensor, point: OperatingPoint) -> AdaViTPrediction:
        """Everything is computed, what is dropped is masked.

        In train mode gates are sampled, whatever the point. In eval mode they are ``predict``'s at the point, and
        gradients pass straight through.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        temperature = self.options.temperature
        if self.training:
            return self._masked(images, _by(lambda one, name: sampled_gate(one, TRAINED[name], temperature)))
        found = self.thresholds(point)
        decide = _by(lambda one, name: threshold_gate(one, found[name], temperature))
        return self._masked(images, decide, _asked(found))

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> AdaViTPrediction:
        """The differentiable form with the masks of an earlier prediction, from either path.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, AdaViTPrediction)
        masks = decided.masks
        asked = _asked(self.thresholds(point))
        return self._masked(images, lambda block, _, keep: masks[block].detach().to(keep.heads.dtype), asked)

    def _masked(self, images: Tensor, decide: Decide, asked: Sequence[str] = DIMENSIONS) -> AdaViTPrediction:
        gates, masks = list[Gates](), list[Masks]()
        tokens, shape = self.vit.embed(images), self.vit.shape
        keep = Masks.keep_all(len(tokens), shape.heads, shape.patches, like=tokens)
        for index, block in enumerate(self.vit.blocks):
            policy = self._policy(index)
            found = Gates(
                policy.layers(tokens) if policy.asks("layers", asked) else None,
                policy.heads(tokens) if policy.asks("heads", asked) else None,
                policy.tokens(block, tokens) if policy.asks("tokens", asked) else None,
            )
            kept = decide(index, found, keep)
            tokens = masked_block(block, tokens, kept, self.options.attention_gradient)
            gates.append(found)
            masks.append(kept)
        return AdaViTPrediction(self.vit.classify(tokens), self.usage(masks, asked), tuple(gates), tuple(masks))

    @torch.no_grad()
    def predict(self, images: Tensor, point: OperatingPoint) -> AdaViTPrediction:
        """What is dropped is not computed, and of a skipped block no more than its layer gates.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        thresholds = self.thresholds(point)
        gates, masks, tokens = list[Gates](), list[Masks](), self.vit.embed(images).contiguous()
        for index, block in enumerate(self.vit.blocks):
            found, kept = self._choose(index, tokens, thresholds)
            tokens = packed_block(block, tokens, kept)
            gates.append(found)
            masks.append(kept)
        usage = self.usage(masks, _asked(thresholds))
        return AdaViTPrediction(self.vit.classify(tokens), usage, tuple(gates), tuple(masks))

    def path(self, calibration: Sequence[Batch]) -> Callable[[float], OperatingPoint]:
        """The trained policy, scaled to drop less or more by a ``ThresholdPath``."""
        asked = (self(batch.images, self.trained_point).gates for batch in calibration)
        path = ThresholdPath.of((map(Gates.by_dimension, gates) for gates in asked), TRAINED)
        return lambda strength: self.point(path.thresholds(strength))

    def usage(self, masks: Sequence[Masks], asked: Sequence[str] = DIMENSIONS) -> Usage:
        """What runs under the masks, one a block. Counts have the masks' gradients; of bool masks they are integers.

        Shape: the masks' B images.
        """
        parts, s = list[Part](self.vit.embed_parts()), self.vit.shape
        heads_ran, tokens_ran = list[Tensor](), list[Tensor]()
        for index, kept in enumerate(masks):
            exact = kept.to(torch.int64 if kept.heads.dtype == torch.bool else torch.float64)
            attends, thinks = exact.layers.unbind(1)
            runs, heads, tokens = 1 - (1 - attends) * (1 - thinks), exact.heads.sum(1), 1 + exact.tokens.sum(1)
            parts += policy_parts(f"policies.{index}", s, runs, self._policy(index), asked)
            name, inner = f"blocks.{index}", heads * s.head_dim
            parts += [
                cost.Normalization(f"{name}.norm1", attends * tokens * s.width),
                cost.Linear(f"{name}.attn.qkv", attends * tokens, s.width, 3 * inner),
                cost.Attention(f"{name}.attn", attends * tokens, tokens, heads, s.head_dim),
                cost.Linear(f"{name}.attn.proj", attends * tokens, inner, s.width),
                cost.Normalization(f"{name}.norm2", thinks * tokens * s.width),
                cost.Linear(f"{name}.mlp.fc1", thinks * tokens, heads * (s.width // s.heads), s.hidden),
                cost.Linear(f"{name}.mlp.fc2", thinks * tokens, s.hidden, s.width),
            ]
            heads_ran.append((runs * heads).detach().round().long())
            tokens_ran.append((runs * tokens).detach().round().long())
        parts += self.vit.classify_parts(1 + s.patches)
        return Usage(len(masks[0].heads), tuple(parts), torch.stack(tokens_ran, 1), torch.stack(heads_ran, 1))

    def _choose(self, index: int, tokens: Tensor, thresholds: Mapping[str, float]) -> tuple[Gates, Masks]:
        """Halves first; heads and tokens are decided for the images of which one runs."""
        policy, asked, shape = self._policy(index), _asked(thresholds), self.vit.shape
        keep = Masks.keep_all(len(tokens), shape.heads, shape.patches, like=tokens).to(torch.bool)
        layers, heads, patches = None, None, None
        runs, head_mask, token_mask = keep.layers, keep.heads, keep.tokens
        if policy.asks("layers", asked):
            layers = policy.layers(tokens)
            runs = open_above(layers, thresholds["layers"])
        live = runs.any(1).nonzero().flatten()
        seen = tokens if len(live) == len(tokens) else tokens[live]
        if policy.asks("heads", asked):
            heads = _placed(policy.heads(seen), live, len(tokens))
            head_mask = open_above(heads, thresholds["heads"])
        if policy.asks("tokens", asked):
            patches = _placed(policy.tokens(self.vit.blocks[index], seen), live, len(tokens))
            token_mask = open_above(patches, thresholds["tokens"])
        return Gates(layers, heads, patches), Masks(runs, head_mask, token_mask)

    def _decided(self, index: int) -> tuple[str, ...]:
        """What is decided at a block."""
        static = index < self.options.static_blocks
        return tuple(name for name in self.options.dimensions if name == "tokens" or not static)

    def _policy(self, index: int) -> Policy:
        found = self.policies[index]
        assert isinstance(found, Policy)
        return found


def _by(gate: Callable[[Tensor, str], Tensor]) -> Decide:
    """``gate`` on each dimension that has logits, everything kept in the others."""

    def decide(block: int, gates: Gates, keep: Masks) -> Masks:
        kept = {
            name: getattr(keep, name) if one is None else gate(one, name) for name, one in gates.by_dimension().items()
        }
        return Masks(**kept)

    return decide


def _asked(thresholds: Mapping[str, float]) -> tuple[str, ...]:
    """The dimensions whose gates run: a threshold of 0 keeps all."""
    return tuple(name for name in DIMENSIONS if thresholds[name] > 0)


def _placed(logits: Tensor, live: Tensor, images: int) -> Tensor:
    """Logits of some images among all, NaN in the others. Shape: logits (b, n), live (b,) → (images, n)."""
    return logits.new_full((images, logits.shape[1]), torch.nan).index_copy(0, live, logits)
