"""One interface to every supported backbone family, for whatever runs its blocks as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from timm.models.levit import Levit
from torch import Tensor, nn

from dynvit.backbones.levit import LeViT
from dynvit.backbones.vit import PlainViT
from dynvit.interface import Part


class BackboneAdapter(Protocol):
    """``embed``, each of ``blocks``, ``classify``: the backbone on pixels in [0, 1]."""

    @property
    def blocks(self) -> Iterable[Callable[[Tensor], Tensor]]:
        """The blocks in order, each a function of tokens. Shape: (B, n, width) → (B, n', width')."""
        ...

    @property
    def block_tokens(self) -> tuple[int, ...]:
        """Tokens that each block processes."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Shape: images (B, 3, H, W) → tokens (B, n, width). Units: pixels in [0, 1]."""
        ...

    def classify(self, tokens: Tensor) -> Tensor:
        """Shape: tokens (B, n, width) → logits (B, classes)."""
        ...

    def parts(self) -> list[Part]:
        """The work of the whole backbone on one image."""
        ...


def adapter_for(model: nn.Module, needed_by: str) -> BackboneAdapter:
    """The adapter of the model's family.

    Raises: ``InputError`` that names what in an unsupported model is not plain.
    """
    return (
        LeViT(model, needed_by)
        if isinstance(model, Levit)
        else PlainViT(model, needed_by, takes="a LeViT, or a plain timm ViT with a class token")
    )
