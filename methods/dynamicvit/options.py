"""Everything about DynamicViT that is fixed by training, and everything that the paper leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynvit.errors import InputError
from dynvit.ops.attention import SoftmaxForm
from dynvit.ops.schedule import kept_counts, prune_blocks

LOWEST_RATIO = 0.2
"""The knob's lower end: ρ³ = 0.008 leaves 1 of 196 patches after the last stage."""


@dataclass(frozen=True)
class DynamicViTOptions:
    """DynamicViT as it is trained. Equations are those of arXiv 2106.02034; the defaults are its authors' settings.

    Raises: ``InputError`` for a value out of its range.
    """

    keep_ratio: float = 0.7
    """ρ, the share of the original patches that stage 1 is trained to keep; stage s keeps ⌊N·ρ^s⌋. In (0, 1]."""
    stages: tuple[int, ...] = ()
    """Blocks before which tokens are dropped, counted from 0. Empty: three, evenly spread (3, 6 and 9 of 12)."""
    softmax: SoftmaxForm = "exact"
    """Attention on the masked path: §3.3 as it stands, or with the published code's ε (its parity tests)."""
    temperature: float = 1.0
    """τ of the Gumbel-softmax that samples the masks in training (§3.3). Above 0."""
    cls_weight: float = 1.0
    """Weight of the cross-entropy (Eq. 12)."""
    ratio_weight: float = 2.0
    """λ_ratio (Eq. 15-16). The authors' README trains DeiT-B with 5."""
    kl_weight: float = 0.5
    """λ_KL of the divergence between the teacher's answers and ours (Eq. 14)."""
    token_weight: float = 0.5
    """λ_distill of the distance between the teacher's tokens and ours (Eq. 13)."""
    ratio_over: Literal["image", "batch"] = "image"
    """Whether Eq. 15 squares the error of each image's kept share, or that of the batch's mean share."""
    kl_direction: Literal["teacher_student", "student_teacher"] = "teacher_student"
    """KL(teacher ‖ student), as the code has it, or KL(student ‖ teacher), as Eq. 14 is written."""
    token_term: Literal["mse", "kl"] = "mse"
    """Squared difference of normed tokens (Eq. 13), or the divergence of their softmax (LV-ViT's token labels)."""
    token_channels: Literal["mean", "sum"] = "mean"
    """Whether the squared difference is averaged over channels (code) or summed (Eq. 13)."""

    def __post_init__(self) -> None:
        if not 0 < self.keep_ratio <= 1:
            raise InputError(f"option keep_ratio must be above 0 and at most 1, got {self.keep_ratio}")
        if self.temperature <= 0:
            raise InputError(f"option temperature must be above 0, got {self.temperature}")
        if list(self.stages) != sorted(set(self.stages)) or any(block < 1 for block in self.stages):
            raise InputError(f"option stages must be ascending blocks from 1 on, such as 3,6,9; got {self.stages}")
        for name in ("cls_weight", "ratio_weight", "kl_weight", "token_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"option {name} must be 0 or above, got {getattr(self, name)}")

    def prune_at(self, depth: int) -> tuple[int, ...]:
        """The blocks before which tokens are dropped.

        Raises: ``InputError`` for a backbone that is too shallow.
        """
        blocks = self.stages or prune_blocks(max(depth, 4))  # three stages, each with a block before it
        if blocks[-1] >= depth or len(set(blocks)) < len(blocks) or blocks[0] < 1:
            depths = "at least 4" if not self.stages else f"more than {blocks[-1]}"
            raise InputError(
                f"method dynamicvit drops tokens before blocks {', '.join(map(str, blocks))}, and the backbone has "
                f"{depth}: take one of {depths} blocks, or set option stages"
            )
        return blocks


def stage_counts(patches: int, ratio: float, stages: int) -> tuple[int | None, ...]:
    """Patches kept by each stage; None where a stage has nothing to drop.

    Such a stage does not run its predictor, so that ρ = 1 is the backbone, in logits and in cost.

    >>> stage_counts(196, 0.7, 3), stage_counts(16, 0.95, 3), stage_counts(196, 1.0, 3)
    ((137, 96, 67), (15, 14, 13), (None, None, None))
    """
    counts = kept_counts(patches, ratio, stages)
    before = (patches, *counts[:-1])
    return tuple(count if count < had else None for count, had in zip(counts, before, strict=True))
