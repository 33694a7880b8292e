"""Which blocks ran for an image, on how many heads and on which tokens."""

from __future__ import annotations

from torch import Tensor

from dynvit import cost
from dynvit.interface import BlockWork, DynamicModel, Explanation, OperatingPoint
from dynvit.units import GIGA

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
        _explain(answer, macs, dense, [_work(masks, gate, image) for masks, gate in kept])
        for image, (answer, macs) in enumerate(zip(answers, spent, strict=True))
    ]


def _work(masks: Masks, gate: GateShape, image: int) -> BlockWork:
    ran = bool(masks.runs(gate.class_token)[image])
    kept = masks.tokens[image].reshape(gate.grid).cpu() & ran
    return BlockWork(ran, int(masks.heads[image].sum()) * ran, gate.heads, kept)


def _explain(answer: int, macs: int, dense: int, blocks: list[BlockWork]) -> Explanation:
    ran = [block for block in blocks if block.ran]
    skipped = [str(index) for index, block in enumerate(blocks, 1) if not block.ran]
    text = f"{len(ran)} of {len(blocks)} blocks"
    if skipped:
        text += f", skipping {', '.join(skipped)}"
    if ran:
        heads = _percent(sum(block.heads for block in ran), sum(block.all_heads for block in ran))
        tokens = _percent(sum(int(block.kept.sum()) for block in ran), sum(block.kept.numel() for block in ran))
        text += f"; where they run {heads} of the heads and {tokens} of the tokens"
    return Explanation(
        answer=answer,
        text=f"{text}; {macs / GIGA:.4g} of {dense / GIGA:.4g} GMACs",
        macs=macs,
        steps={
            "tokens": [int(block.kept.sum()) for block in blocks],
            "heads": [block.heads for block in blocks],
        },
        blocks=blocks,
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
