"""How gates are sampled in training, and what is computed from a pass with sampled gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dynvit.ops.gates import straight_through
from dynvit.ops.precision import at_least_float32
from dynvit.ops.thresholds import threshold_gate

from .gates import Decide, GateLogits, Masks, Thresholds, noise_free
from .model import MIAModel, MIAPrediction, Passed
from .reinforce import Step


def noisy(noise: float, temperature: float) -> Decide:
    """Each gate is open with P = sigmoid(logit / noise), straight-through; at noise 0, where its logit is above 0.

    At noise 1 this is the Gumbel-sigmoid. Only the temperature decides the slope of the gradient.
    """

    def gate(logits: Tensor) -> Tensor:
        wide = at_least_float32(logits)  # in half precision the noise has a few hundred values, including infinity
        uniform = torch.rand_like(wide).clamp(min=torch.finfo(wide.dtype).tiny, max=1 - 2**-24)
        moved = wide + noise * (torch.log(uniform) - torch.log1p(-uniform))
        return straight_through((moved > 0).to(wide.dtype), torch.sigmoid(moved / temperature))

    return lambda block, logits: logits.decide(gate)


def acting(noise: float) -> Decide:
    """The policy of the third stage: sampled with P = sigmoid(logit / noise), without gradient."""
    return lambda block, logits: logits.decide(
        lambda found: torch.bernoulli(torch.sigmoid(at_least_float32(found.detach()) / noise))
    )


def decided(prediction: Passed | MIAPrediction, temperature: float = 1.0) -> list[Masks]:
    """What gates without noise would keep on the features of this pass, straight-through; all blocks at once."""
    asked = [branch for gates in prediction.gates for branch in gates.by_dimension().values() if branch is not None]
    sizes = [branch.numel() for branch in asked]
    trained = Thresholds().depth  # the same in every dimension
    flat = threshold_gate(torch.cat([branch.flatten() for branch in asked]), trained, temperature)
    kept = iter(part.view_as(branch) for part, branch in zip(flat.split(sizes), asked, strict=True))
    return [gates.decide(lambda _: next(kept)) for gates in prediction.gates]


def spent(model: MIAModel, masks: Sequence[Masks], dense: int) -> Tensor:
    """The cost of each image under the masks, controllers counted, with their gradient.

    Shape: (B,), float32. Units: ``dense`` in MACs → fractions of it.
    """
    return (model.macs(masks).double() / dense).float()


@torch.no_grad()
def executed(model: MIAModel, images: Tensor, dense: int) -> Tensor:
    """What the model spends on the images without noise, a mean; its controllers' inputs are then without noise too.

    Shape: images (B, 3, H, W) → scalar. Units: ``dense`` in MACs → a fraction of it.
    """
    return spent(model, model.passed(images, noise_free(Thresholds(), 1.0)).masks, dense).mean()


def skip_rates(model: MIAModel, prediction: Passed | MIAPrediction, masks: Sequence[Masks]) -> Mapping[str, Tensor]:
    """The share of blocks that the masks skip, and of heads and tokens in the blocks that run; scalars."""
    gated = [mask for mask, logits in zip(masks, prediction.gates, strict=True) if _asks(logits)]
    depth = torch.stack([mask.depth for mask in gated]).detach()
    found = {"depth": 1 - depth.mean()}
    for name in ("heads", "tokens"):
        kept = torch.stack([getattr(mask, name).mean(1) for mask in gated]).detach()
        found[name] = 1 - (kept * depth).sum() / depth.sum().clamp(min=1)
    return {f"{name}_skipped": found[name] for name in model.options.dimensions}


def steps(prediction: Passed | MIAPrediction, noise: float) -> list[Step]:
    """The actions, branch by branch; those of heads and tokens count where the depth gate was open.

    Raises: ``ValueError`` for a pass without critics.
    """
    found = []
    for logits, masks in zip(prediction.gates, prediction.masks, strict=True):
        runs = masks.depth.detach()
        for name, live in (("depth", torch.ones_like(runs)), ("heads", runs), ("tokens", runs)):
            branch: Tensor | None = getattr(logits, name)
            if branch is None:
                continue
            if logits.values is None:
                raise ValueError("the critics did not run: call masked(..., values=True)")
            rows = at_least_float32(branch).reshape(len(runs), -1) / noise
            value: Tensor = getattr(logits.values, name)
            found.append(Step(rows, getattr(masks, name).reshape(rows.shape), at_least_float32(value), live))
    return found


def _asks(logits: GateLogits) -> bool:
    return any(branch is not None for branch in (logits.depth, logits.heads, logits.tokens))
