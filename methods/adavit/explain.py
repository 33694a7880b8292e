"""Which attention and MLP layers ran for an image, on how many heads and on which tokens."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from dynvit import cost
from dynvit.backbones.explaining import explained_by_blocks
from dynvit.interface import BlockWork, DynamicModel, Explanation, OperatingPoint

from .budget import dense_macs
from .model import AdaViTModel


def explain(model: DynamicModel, images: Tensor, point: OperatingPoint) -> list[Explanation]:
    """One explanation an image; its steps are the blocks, 0 where one was skipped.

    Shape: images (B, 3, H, W). Units: steps ``tokens`` and ``heads`` as many as were kept, the class token not counted;
    ``halves`` 0 to 2.
    """
    assert isinstance(model, AdaViTModel)
    prediction, dense, shape = model.predict(images, point), dense_macs(model), model.vit.shape
    answers, spent = prediction.logits.argmax(1).tolist(), cost.macs(prediction.usage).tolist()
    found = []
    for image, (answer, macs) in enumerate(zip(answers, spent, strict=True)):
        blocks = []
        for masks in prediction.masks:
            ran = bool(masks.runs[image])
            kept = masks.tokens[image].reshape(shape.grid).cpu() & ran
            blocks.append(BlockWork(ran, int(masks.heads[image].sum()) * ran, shape.heads, kept))
        halves = [int(masks.layers[image].sum()) for masks in prediction.masks]
        told = explained_by_blocks(answer, macs, dense, blocks)
        text = f"{sum(halves)} of {2 * shape.depth} attention and MLP layers; {told.text}"
        found.append(replace(told, text=text, steps={**told.steps, "halves": halves}))
    return found
