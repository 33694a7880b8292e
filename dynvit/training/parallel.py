"""A stage's loss as a module, so that several processes average its gradients while they are still computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dynvit.interface import Batch, Losses

StageLoss = Callable[[Batch], Losses]


class _LossModule(nn.Module):
    """Holds the parameters alone: the loss may call what it likes of the model, as often as it likes."""

    def __init__(self, loss: StageLoss, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        super().__init__()
        self.loss, self.trained = loss, nn.ParameterList(parameters)
        # A gate may leave all that the stage trains out of one process's batch, which would then not take part.
        self.always_used = nn.Parameter(torch.zeros((), device=device))
        # torch looks for unused parameters on request, and warns of the cost at length where it finds none.
        self.never_used = nn.Parameter(torch.zeros((), device=device))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The total with its graph, the parts without."""
        losses = self.loss(batch)
        parts = {name: value.detach() for name, value in losses.parts.items()}
        return losses.total + 0 * self.always_used, parts


class ParallelLoss:
    """The loss of a stage, whose gradients are means over all processes once its backward pass is over.

    They are averaged while that goes on, by torch's DistributedDataParallel. A parameter that no process used keeps no
    gradient; one that some used gets the mean over all. A backward pass that it is not in must not follow its making:
    torch would take what that used for used.
    """

    def __init__(self, loss: StageLoss, parameters: Iterable[nn.Parameter], device: torch.device) -> None:
        module = _LossModule(loss, parameters, device)
        self._module = DistributedDataParallel(module, find_unused_parameters=True, gradient_as_bucket_view=True)

    def __call__(self, batch: Batch, averages: bool) -> Losses:
        """Of this process's images. Their backward pass adds gradients, and ``averages`` what was added so far."""
        with nullcontext() if averages else self._module.no_sync():
            return Losses(*self._module(batch))
