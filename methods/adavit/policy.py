"""The decision network of a block: linear gates on its input (arXiv 2111.15668, Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence

from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import ViTShape
from dynvit.interface import Part
from dynvit.ops.precision import at_least_float32


class Policy(nn.Module):
    """Log-odds of keeping a block's halves and heads, from its class token, and each patch, from the patch.

    ``decided`` are the dimensions that it has gates for.
    """

    def __init__(self, width: int, heads: int, decided: Sequence[str], init_logit: float) -> None:
        super().__init__()
        outputs = {"layers": 2, "heads": heads, "tokens": 1}
        self.gates = nn.ModuleDict({name: nn.Linear(width, outputs[name]) for name in decided})
        for gate in self.gates.values():
            assert isinstance(gate, nn.Linear)
            nn.init.trunc_normal_(gate.weight, std=0.02)
        self.start_at(init_logit)

    def start_at(self, logit: float) -> None:
        """The bias of each gate."""
        for gate in self.gates.values():
            assert isinstance(gate, nn.Linear)
            nn.init.constant_(gate.bias, logit)

    def asks(self, name: str, asked: Sequence[str]) -> bool:
        """Whether a dimension is decided here, and asked for."""
        return name in self.gates and name in asked

    def layers(self, tokens: Tensor) -> Tensor:
        """Of the attention and the MLP. Shape: block input (B, 1 + N, C) → (B, 2)."""
        return at_least_float32(self.gates["layers"](tokens[:, 0]))

    def heads(self, tokens: Tensor) -> Tensor:
        """Shape: block input (B, 1 + N, C) → (B, H)."""
        return at_least_float32(self.gates["heads"](tokens[:, 0]))

    def tokens(self, block: Block, tokens: Tensor) -> Tensor:
        """From what the block's attention reads. Shape: block input (B, 1 + N, C) → (B, N)."""
        return at_least_float32(self.gates["tokens"](block.norm1(tokens)[:, 1:])).squeeze(-1)


def policy_parts(name: str, shape: ViTShape, runs: cost.Count, policy: Policy, asked: Sequence[str]) -> list[Part]:
    """The work of a policy; ``runs`` is 1 where a half of the block runs, so that heads and tokens are decided."""
    rows: dict[str, tuple[cost.Count, int]] = {
        "layers": (1, 2),
        "heads": (runs, shape.heads),
        "tokens": (runs * shape.patches, 1),
    }
    return [cost.Linear(f"{name}.{of}", n, shape.width, out) for of, (n, out) in rows.items() if policy.asks(of, asked)]
