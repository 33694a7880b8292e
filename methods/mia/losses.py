"""MIA-Former's differentiable losses (arXiv 2112.11542, Eq. 5 to 7): tensors in, scalars out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["sum", "mean"]


def keep_loss(masks: Sequence[Tensor], reduce: Reduction = "sum") -> Tensor:
    """How much is skipped (Eq. 5), a mean over images: 0 where everything is kept.

    ``masks`` are those of all blocks and granularities. The paper adds up entries; ``mean`` lets a block's one depth
    decision weigh as much as all of its tokens.

    Shape: masks (B,) or (B, n), 1 or 0 → scalar.

    >>> float(keep_loss([torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])]))
    1.5
    """
    skipped = [(1 - mask).reshape(len(mask), -1) for mask in masks]
    each = [part.sum(1) if reduce == "sum" else part.mean(1) for part in skipped]
    return torch.stack(each).sum(0).mean()


def cost_weight(task: Tensor, cost: Tensor, executed: Tensor, target: float, scale: float | Tensor = 0.1) -> Tensor:
    """α of Eq. 6 for one batch: ``scale`` · L_task / L_cost, its sign by the side of the target that the batch is on.

    Above the target α > 0, so cost is penalised; below, α < 0, so it is rewarded. Exactly on it α is 0. The quotient is
    detached: otherwise α · L_cost would be ± ``scale`` · L_task, without gradient of the cost.

    Shape: scalars. Units: ``cost``, ``executed`` and ``target`` as fractions of the dense cost.

    >>> task, cost = torch.tensor(0.5), torch.tensor(0.8)
    >>> [round(float(cost_weight(task, cost, cost, target)), 4) for target in (0.7, 0.9, 0.8)]
    [0.0625, -0.0625, 0.0]
    """
    distance = executed.detach() - torch.as_tensor(target, dtype=executed.dtype, device=executed.device)
    return distance.sign() * scale * (task / cost.clamp(min=torch.finfo(cost.dtype).tiny)).detach()
