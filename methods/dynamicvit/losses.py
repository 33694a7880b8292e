"""DynamicViT's training loss (arXiv 2106.02034, §3.4): tensors in, scalars out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def ratio_loss(masks: Sequence[Tensor], ratios: Sequence[float], over: Literal["image", "batch"] = "image") -> Tensor:
    """Mean over stages of the squared error of the kept fraction (Eq. 15).

    Shape: masks, one (B, N) a stage; ratios, one a stage → scalar.
    """
    errors = []
    for mask, ratio in zip(masks, ratios, strict=True):
        share = mask.mean(1) if over == "image" else mask.mean()
        errors.append((share - ratio).square().mean())
    return torch.stack(errors).mean()


def kl_loss(
    logits: Tensor,
    teacher_logits: Tensor,
    direction: Literal["teacher_student", "student_teacher"] = "teacher_student",
) -> Tensor:
    """KL divergence between the two predictions, a mean over rows (Eq. 14).

    Shape: two of (rows, classes) → scalar, in nats.
    """
    ours, theirs = F.log_softmax(logits, -1), F.log_softmax(teacher_logits, -1)
    if direction == "student_teacher":
        ours, theirs = theirs, ours
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def token_loss(
    patches: Tensor,
    teacher_patches: Tensor,
    kept: Tensor,
    term: Literal["mse", "kl"] = "mse",
    channels: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Distance of the kept tokens from the teacher's at the same positions, a mean over kept tokens (Eq. 13).

    Zero where no image of the batch keeps any.

    Shape: two of (B, N, C), kept (B, N), 1 or 0 → scalar.
    """
    if term == "mse":
        distance = (patches - teacher_patches).square()
        each = distance.mean(-1) if channels == "mean" else distance.sum(-1)
    else:
        ours, theirs = F.log_softmax(patches, -1), F.log_softmax(teacher_patches, -1)
        each = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    return (each * kept).sum() / kept.sum().clamp(min=1)
