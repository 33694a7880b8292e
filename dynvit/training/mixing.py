"""Mixup, CutMix and label smoothing on a batch."""

from __future__ import annotations

from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from dynvit.errors import InputError
from dynvit.interface import Augment, Batch


class Mixer:
    """Images and labels to a ``Batch`` with soft targets, by timm's Mixup in batch mode.

    Either of the two is drawn for each batch, with equal odds where both are on. NumPy's global random state is
    drawn from.

    Raises: ``InputError`` for an odd ``batch_size`` with mixing, which pairs images.
    """

    def __init__(self, augment: Augment, classes: int, batch_size: int) -> None:
        self.classes, self.smoothing = classes, augment.smoothing
        self._mixup: Mixup | None = None
        if augment.mixup > 0 or augment.cutmix > 0:
            if batch_size % 2:
                raise InputError(f"mixup and cutmix pair images: the batch of {batch_size} a process must be even")
            self._mixup = Mixup(
                mixup_alpha=augment.mixup,
                cutmix_alpha=augment.cutmix,
                label_smoothing=augment.smoothing,
                num_classes=classes,
            )

    def __call__(self, images: Tensor, labels: Tensor) -> Batch:
        """Shape: images (B, 3, H, W), labels (B,) → a ``Batch``; images are changed in place."""
        if self._mixup is None or len(images) == 1:
            return Batch(images, labels, mixup_target(labels, self.classes, 1.0, self.smoothing))
        even = len(images) // 2 * 2  # a bad sample that was skipped leaves one image without a partner
        images, labels = images[:even], labels[:even]
        images, targets = self._mixup(images, labels)
        return Batch(images, labels, targets)


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in ``parts`` nearly equal pieces, none of them empty.

    >>> import torch
    >>> [len(piece.images) for piece in split(Batch(torch.zeros(5, 3, 1, 1), torch.zeros(5), torch.zeros(5, 2)), 2)]
    [3, 2]
    """
    if parts == 1:
        return [batch]
    pieces = zip(*(t.tensor_split(parts) for t in (batch.images, batch.labels, batch.targets)), strict=True)
    return [Batch(*piece) for piece in pieces if len(piece[0])]
