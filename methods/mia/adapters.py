"""Which reading a backbone has."""

from __future__ import annotations

from timm.models.levit import Levit
from torch import nn

from .adapter import MIAAdapter
from .deit import DeiTAdapter
from .levit import LeViTAdapter
from .options import MIAOptions


def adapter_for(backbone: nn.Module, options: MIAOptions) -> MIAAdapter:
    """The reading of the backbone's family.

    Raises: ``InputError`` that names a backbone that has none, and what in it is not plain.
    """
    return LeViTAdapter(backbone, options) if isinstance(backbone, Levit) else DeiTAdapter(backbone, options)
