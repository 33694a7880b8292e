"""From co-trained controllers to RL agents: what is inherited or initialised anew, and where the policy starts."""

from __future__ import annotations

import math

import torch
from torch import nn

from .controller import Controller
from .gates import Masks
from .inherit import mixed
from .learning import ActorStart
from .model import MIAModel
from .options import DIMENSIONS
from .sampling import spent

LEAST, MOST = 0.01, 0.999


@torch.no_grad()
def become_agents(model: MIAModel, actor: ActorStart, noise: float) -> None:
    """Turn every controller into an agent, in place: the same tensors by name and shape (§3.3).

    ``noise`` is the policy's: what is sampled under ``actor`` = usage is kept with P = sigmoid(bias / noise).
    """
    bias = noise * _log_odds(keep_share(model)) if actor == "usage" else 0.0
    for controller in model.controllers.children():
        assert isinstance(controller, Controller)
        _become_agent(controller, actor, bias)


def _become_agent(controller: Controller, actor: ActorStart, bias: float) -> None:
    like = next(controller.parameters())
    fresh = Controller(controller.shape, controller.options).to(like.device, like.dtype)
    for name, module in fresh.named_children():
        if name.endswith("_actor"):
            assert isinstance(module, nn.Linear)
            nn.init.constant_(module.bias, bias)
    drawn = dict(fresh.named_parameters())
    for name, parameter in controller.named_parameters():
        if "_critic." in name or ("_actor." in name and actor != "inherited"):
            parameter.copy_(drawn[name])
        elif "_actor." not in name:
            parameter.copy_(mixed(parameter, drawn[name], controller.options.inherit))


@torch.no_grad()
def keep_share(model: MIAModel, draws: int = 256) -> float:
    """P at which independent gates of all dimensions, each kept with P, cost the target: where co-training ended.

    The mean over ``draws`` images' masks, drawn from a generator of its own; no image is used. From 0.01 to 0.999.
    """
    generator, uniform = torch.Generator().manual_seed(0), list[Masks]()
    for index, gate in enumerate(model.adapter.gates):
        shapes = (draws,), (draws, gate.heads), (draws, gate.tokens)
        decides = float(index >= model.options.static_blocks)  # the other blocks keep everything: 0 is below any P
        uniform.append(Masks(*(torch.rand(shape, generator=generator) * decides for shape in shapes)))
    dense, low, high = model.dense_macs(), LEAST, MOST
    while high - low > 1e-3:
        middle = (low + high) / 2
        masks = [
            Masks(*(getattr(u, name) < (middle if name in model.options.dimensions else 2) for name in DIMENSIONS))
            for u in uniform
        ]
        low, high = (
            (middle, high) if float(spent(model, masks, dense).mean()) <= model.options.target else (low, middle)
        )
    return (low + high) / 2


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
