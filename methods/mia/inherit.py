"""Which trained weights an RL agent starts with: a share of them, the rest initialised anew."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed(trained: Tensor, fresh: Tensor, inherit: float) -> Tensor:
    """``trained`` with all but the share ``inherit`` of its entries replaced by those of ``fresh``.

    The entries are drawn from torch's global generator, tensor by tensor: the paper (§3.3) says how many, not which,
    and single entries treat all layers alike.

    Shape: any, the same for both → the same.

    >>> made = mixed(torch.zeros(4, 5), torch.ones(4, 5), inherit=0.75)
    >>> int(made.sum()), made.shape
    (5, torch.Size([4, 5]))
    """
    count = trained.numel()
    drawn = torch.randperm(count)[: count - round(inherit * count)].to(trained.device)
    made = trained.detach().flatten().clone()
    made[drawn] = fresh.detach().flatten()[drawn].to(made)
    return made.view_as(trained)
