"""Which blocks ran for an image, on how many heads and on which tokens."""

from __future__ import annotations

from torch import Tensor

from dynvit import cost
from dynvit.backbones.explaining import explained_by_blocks
from dynvit.interface import BlockWork, DynamicModel, Explanation, OperatingPoint

from .controller import GateShape
from .gates import Masks
from .model import MIAModel


def explain(model: DynamicModel, images: Tensor, point: OperatingPoint) -> list[Explanation]:
    """One explanation an image; its steps are the blocks, 0 where one was skipped.

    Shape: images (B, 3, H, W). Units: steps ``tokens`` and ``heads`` as many as were kept, the class token not counted.
    """
    assert isinstance(model, MIAModel)
    prediction, dense = model.predict(images, point), model.dense_macs()
    kept = list(zip(prediction.masks, model.adapter.gates, strict=True))
    spent, answers = cost.macs(prediction.usage).tolist(), prediction.logits.argmax(1).tolist()
    return [
        explained_by_blocks(answer, macs, dense, [_work(masks, gate, image) for masks, gate in kept])
        for image, (answer, macs) in enumerate(zip(answers, spent, strict=True))
    ]


def _work(masks: Masks, gate: GateShape, image: int) -> BlockWork:
    ran = bool(masks.runs(gate.class_token)[image])
    kept = masks.tokens[image].reshape(gate.grid).cpu() & ran
    return BlockWork(ran, int(masks.heads[image].sum()) * ran, gate.heads, kept)
