"""The adapter of each backbone family."""

from __future__ import annotations

from timm.models.levit import Levit
from torch import nn

from .adapter import MIAAdapter
from .deit import DeiTAdapter
from .levit import LeViTAdapter
from .options import MIAOptions


def adapter_for(backbone: nn.Module, options: MIAOptions) -> MIAAdapter:
    """The adapter of the backbone's family.

    Raises: ``InputError`` that names an unsupported backbone, and what in it is not plain.
    """
    return LeViTAdapter(backbone, options) if isinstance(backbone, Levit) else DeiTAdapter(backbone, options)
