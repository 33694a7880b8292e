"""What blocks did about an image, in words: for methods that decide block by block."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dynvit import cost
from dynvit.backbones.vit import PlainViT
from dynvit.interface import BlockWork, Explanation, Prediction, Usage
from dynvit.units import GIGA


def explained_by_blocks(answer: int, macs: int, dense: int, blocks: Sequence[BlockWork]) -> Explanation:
    """The explanation of one image; its steps are the blocks, 0 where one was skipped.

    Args:
        answer: the predicted class.
        macs: of this image.
        dense: MACs of the backbone.
        blocks: what each block did.

    Returns: steps ``tokens`` and ``heads`` are as many as were kept, the class token not counted.
    """
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


def explained_by_steps(vit: PlainViT, prediction: Prediction, steps: Tensor) -> list[Explanation]:
    """One explanation for each image whose tokens run in the first blocks, each in as many as it has steps.

    Shape: steps (B, 1 + patches), the class token's first.
    """
    shape, found = vit.shape, []
    dense = int(cost.macs(Usage(1, tuple(vit.parts()))))
    told = zip(prediction.logits.argmax(1).tolist(), cost.macs(prediction.usage).tolist(), strict=True)
    for own, (answer, macs) in zip(steps.cpu(), told, strict=True):
        kept = [own > block for block in range(shape.depth)]
        heads = [shape.heads * bool(mask.any()) for mask in kept]
        blocks = [
            BlockWork(of > 0, of, shape.heads, mask[1:].view(shape.grid)) for of, mask in zip(heads, kept, strict=True)
        ]
        found.append(explained_by_blocks(answer, macs, dense, blocks))
    return found


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
