"""One interface to every supported backbone family, for whatever runs its blocks as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dynvit.backbones.levit import LeViT
from dynvit.backbones.rotary import RotaryViT
from dynvit.backbones.t2t import T2TViT
from dynvit.backbones.vit import PlainViT
from dynvit.interface import EVERY_TRAIT, Part
from dynvit.registry import Registry


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

    def parts(self) -> Sequence[Part]:
        """The work of the whole backbone on one image."""
        ...


class AdapterKind(Protocol):
    """A class of adapters: what is registered. ``family`` is the class of the models that it is for."""

    family: type[nn.Module]

    def __call__(self, model: nn.Module, needed_by: str) -> BackboneAdapter:
        """Raises: ``InputError`` that begins with ``needed_by`` and names what in the model is not plain."""
        ...


adapters: Registry[AdapterKind] = Registry("backbone adapter", "dynvit.adapters")
register_adapter = adapters.register
adapters.register("levit")(LeViT)
adapters.register("eva")(RotaryViT)


def family_of(model: nn.Module) -> str:
    """The family that recipes name a backbone by: its adapter's name, ``t2t``, or ``vit`` for other ViTs of timm's.

    Of a model of no known family its class's name, in small letters.
    """
    for name, kind in adapters.load_all().items():
        if isinstance(model, kind.family):
            return name
    if isinstance(model, T2TViT):
        return "t2t"
    return "vit" if isinstance(model, VisionTransformer) else type(model).__name__.lower()


def adapter_for(model: nn.Module, needed_by: str) -> BackboneAdapter:
    """The adapter of the model's family: a registered one, else that of plain ViTs.

    Raises: ``InputError`` that names what in an unsupported model is not plain.
    """
    for kind in adapters.load_all().values():
        if isinstance(model, kind.family):
            return kind(model, needed_by)
    return PlainViT(
        model, needed_by, takes="a LeViT, a plain timm ViT or one with rotary positions", serves=EVERY_TRAIT
    )
