"""Hard decisions with useful gradients: straight-through and Gumbel gates."""

from __future__ import annotations

import torch
from torch import Tensor


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of ``hard``, bit for bit, with the gradient of ``soft`` (Bengio et al., arXiv 1308.3432).

    Shape: any, the same for both.

    >>> soft = torch.tensor([0.3, 0.6], requires_grad=True)
    >>> gate = straight_through((soft > 0.5).float(), soft)
    >>> gate.tolist(), torch.autograd.grad(gate.sum(), soft)[0].tolist()
    ([0.0, 1.0], [1.0, 1.0])
    """
    # The bracket is exactly zero; hard + soft − soft, summed from the left, would be off by an ulp.
    return hard.detach() + (soft - soft.detach())


def gumbel_gate(log_odds: Tensor, temperature: float = 1.0) -> Tensor:
    """Open each gate at random with probability sigmoid(log_odds): 1 or 0, straight-through.

    The hard Gumbel-softmax of two classes (Jang et al., arXiv 1611.01144). The two Gumbel draws enter only by
    their difference, which is logistic, so one draw suffices. torch's global generator draws it.

    Shape: any → the same.
    """
    # Away from 0 and 1, where the logistic is infinite.
    uniform = torch.rand_like(log_odds).clamp(min=torch.finfo(log_odds.dtype).tiny, max=1 - 2**-24)
    noisy = log_odds + torch.log(uniform) - torch.log1p(-uniform)
    return straight_through((noisy > 0).to(log_odds.dtype), torch.sigmoid(noisy / temperature))
