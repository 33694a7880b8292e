"""Common corruptions of images in memory, deterministic per sample, and pre-computed sets of corrupted images.

An image of a small set (64 pixels or less) is corrupted at its native size, before it is resized for the model, as
CIFAR-10-C was made; any other after resize and crop, at the model's input size, as ImageNet-C was.
"""

from __future__ import annotations

from dynvit.data.corruptions.catalogue import CORRUPTIONS, GROUPS, SEVERITIES, Corruption, corrupt, recipe_for, select

__all__ = ["CORRUPTIONS", "GROUPS", "SEVERITIES", "Corruption", "corrupt", "recipe_for", "select"]
