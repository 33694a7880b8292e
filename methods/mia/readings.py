"""Which reading a backbone has."""

from __future__ import annotations

from timm.models.levit import Levit
from torch import nn

from .deit import DeiTReading
from .levit import LeViTReading
from .options import MIAOptions
from .reading import Reading


def reading_of(backbone: nn.Module, options: MIAOptions) -> Reading:
    """The reading of the backbone's family.

    Raises: ``InputError`` that names a backbone that has none, and what in it is not plain.
    """
    return LeViTReading(backbone, options) if isinstance(backbone, Levit) else DeiTReading(backbone, options)
