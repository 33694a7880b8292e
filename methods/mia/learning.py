"""What the paper leaves open about the training; epochs and learning rates are a recipe's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynvit.errors import InputError

from .losses import Reduction
from .pressure import BetaRule
from .reinforce import Normalization, RewardForm

ActorStart = Literal["redrawn", "usage", "inherited"]
Measured = Literal["sampled", "decided", "executed"]


@dataclass(frozen=True)
class LearningOptions:
    """Choices of the three stages (arXiv 2112.11542, §3.3 and §4.1). Where None, the recipe decides.

    Raises: ``InputError`` for a value out of its range.
    """

    keep_reduction: Reduction = "sum"
    """Whether Eq. 5 adds up a block's heads and tokens, as it is written, or takes their means. Masks are hard, with
    straight-through gradients: so the loss can be 0, as the paper wants it. Adam cares little for the difference."""
    noise: float | None = None
    """Scale of the logistic noise on a logit in co-training: a gate is open with P = sigmoid(logit / noise). 1 is the
    Gumbel-softmax that the paper names; 0 rounds without noise. None: the recipe's, 1 unless it says otherwise."""
    cost_scale: float | None = None
    """|α| · L_cost / L_task of Eq. 6. None: the recipe's; the paper's is 0.1."""
    cost_growth: float | None = None
    """Warm-up of α, a reading of ours: with each batch on the same side of the target |α| grows by this factor, and it
    is halved where the side changes. The paper's α is proportional to L_task: a backbone that was trained before has
    next to none, and no gate closes. 1 leaves the paper's constant. None: the recipe's, 1 unless it says otherwise."""
    measured: Measured = "executed"
    """FLOPs_exec as it is compared with the target: what the sampled gates cost; what gates without noise would on the
    same features (``decided``); or what the model spends without noise on every fourth image of the batch, in a short
    pass of its own: that is the cost at inference. The first two differ from it while logits are small: tokens each
    kept with P = 0.6 cost 60 % in training and 100 % afterwards, and on CIFAR-10 0.70 ``decided`` was 0.74 executed.
    The gradient of L_cost goes through the sampled gates, or through those without noise."""
    reinforce: bool = True
    """Whether the third stage is run at all. Off is "Pretrain" in Table 3."""
    inherit: float = 0.75
    """The share of the controllers' other weights that the RL agents start with (§3.3; 0.5 and 1 in Table 3). Which
    ones is left open: single weights of every tensor, by seed."""
    actor: ActorStart | None = None
    """The last FC at the start of the third stage: drawn anew (``redrawn``: everything is kept with P = 0.5, literally
    "replace the last FC layer"); drawn anew with a bias at which what is sampled costs the target (``usage``); or
    that of co-training (``inherited``). Critics are always new. None: the recipe's, ``usage`` unless it says
    otherwise."""
    reward: RewardForm | None = None
    """Eq. 8 as it stands (``paper``), in which the target is a constant that no policy can move: β alone then decides
    what is spent. Or ``signed``: β has the sign of cost − target in each batch, as α has in Eq. 6, and the target is
    met. None: the recipe's, ``paper`` unless it says otherwise."""
    beta: float | None = None
    """β of Eq. 8, in correct answers for the whole dense cost. None: the recipe's, 1 unless it says otherwise: a model
    that saves 15 to 45 % gives up one to three answers in a hundred, 0.1 an answer for each unit of cost, and what is
    sampled for an image scatters by some hundredths of the cost. Far below 0.1 an answer outweighs any saving; from 10
    on the saving outweighs most answers."""
    beta_rule: BetaRule | None = None
    """Where β comes from, of which the paper says nothing; the last two are readings of ours. ``fixed``: it is
    ``beta``. ``scatter``: measured in each batch, so that correctness and cost vary alike in the reward.
    ``proportional``: ``beta`` where the batch executes a tenth of the dense cost more than the target, 0 on the target
    and negative below it, so that Eq. 8 penalises the squared distance from the target. None: the recipe's, ``fixed``
    unless it says otherwise."""
    value_weight: float = 0.5
    """Of the critics' squared error beside the policy loss, as in A3C's released code and its descendants. Above 0."""
    entropy_weight: float = 0.001
    """Of the policy's entropy, which keeps it exploring. A3C has 0.01 for one choice among a few; here an image makes
    hundreds at once, of which each matters little, and at 0.01 the bonus is all that they follow."""
    advantage: Normalization = "center"
    """R − V in a batch and branch: as it is, minus its mean, or divided by its standard deviation too. New critics are
    uninformed, and rewards of a model that is mostly correct are nearly equal."""
    policy_gradient: Literal["controllers", "all"] = "controllers"
    """How far −R of Eq. 9 reaches. R has no gradient in the backbone's weights ω where the actions are fixed, so that ω
    learns from L_task; a gradient of E[R] in ω through what the controllers read exists, and ``all`` lets it pass."""

    def __post_init__(self) -> None:
        for name in ("noise", "cost_scale", "beta", "entropy_weight"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"option {name} must be 0 or above, got {value:g}")
        if self.cost_growth is not None and not 1 <= self.cost_growth <= 2:
            raise InputError(f"option cost_growth must be a factor from 1 to 2, got {self.cost_growth:g}")
        if not 0 <= self.inherit <= 1:
            raise InputError(f"option inherit must be a share from 0 to 1, got {self.inherit:g}")
        if self.value_weight <= 0:
            raise InputError(f"option value_weight must be above 0, got {self.value_weight:g}")
