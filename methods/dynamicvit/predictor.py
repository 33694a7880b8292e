"""The prediction module: which patch tokens are worth keeping."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynvit import cost
from dynvit.interface import Part


class Predictor(nn.Module):
    """Scores each patch token by itself and by the mean of the tokens that are still kept (arXiv 2106.02034, §3.2).

    Half of the hidden channels stay local; the other half are averaged over the kept tokens. The paper
    has an MLP for each half, which equals one linear layer of full width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.in_conv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Linear(width // 2, width // 4),
            nn.GELU(),
            nn.Linear(width // 4, 2),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, patches: Tensor, kept: Tensor | None = None) -> Tensor:
        """Log-probabilities of keeping (column 0) and dropping (column 1), as the published weights have them.

        The paper's text has the columns in the other order. ``kept`` is the decision so far, None for all.

        Shape: patches (B, N, C), kept (B, N) → (B, N, 2).
        """
        local, shared = self.in_conv(patches).chunk(2, dim=-1)
        if kept is None:
            mean = shared.mean(1, keepdim=True)
        else:
            weight = kept.unsqueeze(-1)
            # An image whose tokens are all dropped has no mean; the published code divides by zero here (issue 6).
            # Counts are whole, so a bound of one half touches no other, nor its gradient.
            mean = (shared * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=0.5)
            mean = mean.to(local.dtype)
        return F.log_softmax(self.out_conv(torch.cat([local, mean.expand_as(local)], dim=-1)), dim=-1)

    def parts(self, name: str, tokens: cost.Count) -> list[Part]:
        """The work of scoring ``tokens`` patch tokens: 13/8·C² + C/2 MACs each."""
        c = self.width
        return [
            cost.Normalization(f"{name}.in_conv.0", tokens * c),
            cost.Linear(f"{name}.in_conv.1", tokens, c, c),
            cost.Linear(f"{name}.out_conv.0", tokens, c, c // 2),
            cost.Linear(f"{name}.out_conv.2", tokens, c // 2, c // 4),
            cost.Linear(f"{name}.out_conv.4", tokens, c // 4, 2),
        ]


def log_odds(log_probs: Tensor) -> Tensor:
    """log P(keep) − log P(drop): ordered as P(keep), but distinct even where P(keep) rounds to 1.

    Shape: (B, N, 2) → (B, N).
    """
    return log_probs[..., 0] - log_probs[..., 1]
