"""The third stage's objective (arXiv 2112.11542, Eq. 8; A2C, arXiv 1602.01783): tensors in, tensors out.

An image is an episode of one step for each branch of each block, with a single reward at the end and no discount:
every step's return is the reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

RewardForm = Literal["paper", "signed"]
Normalization = Literal["none", "center", "standardize"]


@dataclass(frozen=True)
class Step:
    """The actions of one branch of one block for each image, and its critic's value.

    ``live`` is 0 for an image whose action had no effect because the block was skipped.

    Shape: ``logits`` and ``actions`` (B, n), actions 1 for keep or 0; ``value`` (B,); ``live`` (B,).
    """

    logits: Tensor
    actions: Tensor
    value: Tensor
    live: Tensor


@dataclass(frozen=True)
class ActorCritic:
    """The three terms of the A2C objective, unweighted; all scalars, ``policy`` and ``value`` to be minimised."""

    policy: Tensor
    value: Tensor
    entropy: Tensor


def reward(
    correct: Tensor, executed: Tensor, target: float, beta: float | Tensor, form: RewardForm, measured: Tensor
) -> Tensor:
    """R = Y + β · (target − executed), for each image (Eq. 8).

    In the paper's form the target is a constant that any baseline removes: β alone decides where the policy converges.
    In the ``signed`` form β has the sign of ``measured`` − target, a scalar of the batch, as α has in the stage before:
    above the target compute is penalised, below it rewarded, on it only correctness counts.

    Shape: ``correct`` and ``executed`` (B,), ``measured`` scalar → (B,). Units: fractions of the dense cost.

    >>> correct, half = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
    >>> reward(correct, half, target=0.7, beta=1.0, form="paper", measured=half.mean())
    tensor([1.2000, 0.2000])
    >>> reward(correct, half, target=0.7, beta=1.0, form="signed", measured=half.mean())
    tensor([ 0.8000, -0.2000])
    """
    saved = beta * (target - executed)
    if form == "signed":
        saved = saved * (measured - target).sign()
    return correct + saved


def advantage(returns: Tensor, value: Tensor, live: Tensor, normalization: Normalization = "center") -> Tensor:
    """R − V without gradient, 0 where nothing was decided; centred, or also scaled, over the batch where asked.

    Centring changes no expected gradient, and removes the error of a critic that is still new.

    Shape: (B,), (B,), (B,) → (B,).
    """
    gain = (returns - value).detach()
    if normalization != "none":
        count = live.sum().clamp(min=1)
        gain = gain - (gain * live).sum() / count
        if normalization == "standardize":
            gain = gain / ((gain.square() * live).sum() / count).sqrt().clamp(min=1e-6)
    return gain * live


def actor_critic(steps: Sequence[Step], returns: Tensor, normalization: Normalization = "center") -> ActorCritic:
    """A2C over all steps of an image: sums over steps and over a step's entries, means over images.

    Shape: ``returns`` (B,) → scalars.
    """
    policy, value, entropy = [], [], []
    for step in steps:
        gain = advantage(returns, step.value, step.live, normalization)
        policy.append(-(gain * log_prob(step.logits, step.actions)).mean())
        value.append(((returns.detach() - step.value).square() * step.live).mean())
        entropy.append((bernoulli_entropy(step.logits) * step.live).mean())
    return ActorCritic(torch.stack(policy).sum(), torch.stack(value).sum(), torch.stack(entropy).sum())


def log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """Log-probability of a row of independent Bernoulli(sigmoid(logit)) actions.

    Shape: (B, n), (B, n) → (B,). Units: nats.
    """
    return -F.binary_cross_entropy_with_logits(logits, actions.detach(), reduction="none").sum(1)


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """Entropy of a row of independent Bernoulli(sigmoid(logit)) actions.

    Shape: (B, n) → (B,). Units: nats.
    """
    return F.binary_cross_entropy_with_logits(logits, torch.sigmoid(logits), reduction="none").sum(1)
