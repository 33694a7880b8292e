"""From a stage's parameter groups to an optimiser step, the same on one process and on several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from dynvit.errors import InputError
from dynvit.interface import DynamicModel, ParamGroup, Stage


def prepare(model: DynamicModel, stage: Stage, device: torch.device) -> tuple[ParamGroup, ...]:
    """Freeze all that stands in no group of the stage; its groups that hold parameters.

    Raises: ``InputError`` for a stage without parameters, or groups that are not the model's own, each in one.
    """
    for module in stage.frozen:
        module.to(device).eval().requires_grad_(False)
    model.to(device).requires_grad_(False)
    groups = tuple(group for group in stage.groups(model) if group.parameters)
    trained = [parameter for group in groups for parameter in group.parameters]
    if not trained:
        raise InputError(f"stage {stage.name!r} trains no parameter: a stage without parameters is left out")
    own = {id(parameter) for parameter in model.parameters()}
    if len({id(parameter) for parameter in trained}) < len(trained) or any(id(p) not in own for p in trained):
        raise InputError(f"stage {stage.name!r}: each trained parameter is the model's own and stands in one group")
    for parameter in trained:
        parameter.requires_grad_(True)
    return groups


def set_train_mode(model: DynamicModel, stage: Stage) -> None:
    """Train mode, but for what the stage leaves frozen: a frozen batch norm keeps its statistics too."""
    model.train()
    for module in model.modules():
        if isinstance(module, _NormBase) and not any(p.requires_grad for p in module.parameters(recurse=False)):
            module.eval()
    for frozen in stage.frozen:
        frozen.eval()


def make_optimizer(stage: Stage, groups: Sequence[ParamGroup]) -> torch.optim.Optimizer:
    """The stage's optimiser; SGD with momentum 0.9, as vision papers mean it, the Adams with torch's defaults."""
    listed = [{"params": list(g.parameters), "lr": g.lr, "weight_decay": g.weight_decay} for g in groups]
    if stage.optimizer == "sgd":  # not fused: torch's kernel fails where a gate left parameters out of the first step
        return torch.optim.SGD(listed, momentum=0.9)
    # One fused kernel a step: on a small model on a CPU, the loop over tensors costs as much as a block.
    fused = listed[0]["params"][0].device.type in ("cpu", "cuda")  # type: ignore[index]
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(listed, fused=fused)


def set_rates(
    optimizer: torch.optim.Optimizer, groups: Sequence[ParamGroup], epoch: float, epochs: int
) -> dict[str, float]:
    """Give each group its learning rate at a fraction of an epoch; the rates by the groups' names."""
    rates = {}
    for state, group in zip(optimizer.param_groups, groups, strict=True):
        rates[group.name] = state["lr"] = group.lr * group.schedule(epoch, float(epochs))
    return rates


def average_gradients(accelerator: Accelerator, groups: Sequence[ParamGroup]) -> None:
    """Mean over processes of each parameter's gradient; a parameter that none of them used keeps none.

    ``ParallelLoss`` does the same during the backward pass; this, after it, lets a process begin a step again.
    """
    if accelerator.num_processes == 1:
        return
    parameters = [parameter for group in groups for parameter in group.parameters]
    used = torch.tensor([float(p.grad is not None) for p in parameters], device=accelerator.device)
    pieces = [(torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten().float() for p in parameters]
    flat: Tensor = accelerator.reduce(torch.cat([used, *pieces]), reduction="mean")
    anywhere = (flat[: len(parameters)] > 0).tolist()
    for parameter, mean, is_used in zip(
        parameters, flat[len(parameters) :].split([p.numel() for p in parameters]), anywhere, strict=True
    ):
        if is_used:
            parameter.grad = mean.view_as(parameter).to(parameter.dtype)


def clip(accelerator: Accelerator, optimizer: torch.optim.Optimizer, limit: float) -> None:
    """Scale the gradients down to a common norm of at most ``limit``; 0 leaves them alone."""
    if limit <= 0:
        return
    accelerator.unscale_gradients(optimizer)
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], limit)
