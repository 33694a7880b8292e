"""Which patches each block processed."""

from __future__ import annotations

import torch
from torch import Tensor

from dynvit import cost
from dynvit.interface import BlockWork, DynamicModel, Explanation, OperatingPoint
from dynvit.units import GIGA

from .model import DynamicViTModel


def explain(model: DynamicModel, images: Tensor, point: OperatingPoint) -> list[Explanation]:
    """One explanation an image; its steps are the blocks.

    Shape: images (B, 3, H, W). Units: step ``tokens`` patches, the class token not counted.
    """
    assert isinstance(model, DynamicViTModel)
    # The packed form does not keep positions; in eval mode the masked one drops the same patches.
    prediction = model.eval()(images, point)
    shape, prunes = model.vit.shape, torch.tensor(model.prune_at)
    everything = torch.ones_like(prediction.kept)
    masks = [everything, *prediction.masks]
    stages = [int((prunes <= index).sum()) for index in range(shape.depth)]
    spent = cost.macs(prediction.usage).tolist()
    found = []
    for image, answer in enumerate(prediction.logits.argmax(1).tolist()):
        grids = [(masks[stage][image] > 0).reshape(shape.grid).cpu() for stage in stages]
        left = [int(grid.sum()) for grid in grids]
        text = f"{', '.join(map(str, sorted(set(left), reverse=True)))} of {shape.patches} tokens, in this order; "
        found.append(
            Explanation(
                answer=answer,
                text=f"{text}{spent[image] / GIGA:.4g} GMACs",
                macs=spent[image],
                steps={"tokens": left},
                blocks=[BlockWork(True, shape.heads, shape.heads, grid) for grid in grids],
            )
        )
    return found
