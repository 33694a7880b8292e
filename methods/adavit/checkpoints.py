"""The checkpoint that AdaViT's authors published of a DeiT, and its layout.

A torch pickle with the weights under ``state_dict_ema``, ``state_dict`` or ``model``. The backbone's tensors have
timm's names, but for queries, keys and values, which are apart. The gates of block i lie under
``blocks.i.layer_select``, ``.head_select`` and ``.attn.token_select``, ours under ``policies.i.gates``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dynvit.backbones.deit import deit_of
from dynvit.backbones.deit_files import read_published, weights_under
from dynvit.backbones.weights import compare
from dynvit.errors import InputError
from dynvit.interface import PublishedCheckpoint

from .model import AdaViTModel
from .options import DIMENSIONS, AdaViTOptions

CROP_PCT = 0.9
"""That of the authors' model."""
THEIRS = {"layers": "layer_select", "heads": "head_select", "tokens": "attn.token_select"}
_APART = ("query", "key", "value")

PUBLISHED = (
    PublishedCheckpoint(
        "adavit-deit-s",
        "deit_small_patch16_224",
        "https://drive.usercontent.google.com/download?id=1vkD6w9J8sf64IPhTBgyfvsTvUlZw6TNa&export=download&confirm=t",
        77.3,
        note="at 2.3 GMACs by its authors' table",
    ),
)


def load(path: str) -> AdaViTModel:
    """The model, in eval mode, with every size read from the tensors.

    Raises: ``InputError`` for a file that is missing, damaged, contains code, or has tensors that no AdaViT of a DeiT
    has.
    """
    found = weights_under(read_published(path), ("state_dict_ema", "state_dict", "model"), path, "AdaViT's")
    return model_of({name.removeprefix("module."): tensor for name, tensor in found.items()}, path)


def model_of(state: Mapping[str, Tensor], where: str) -> AdaViTModel:
    """The model that the authors' tensors are of; ``where`` they lie, for messages.

    Raises: ``InputError`` for tensors that no AdaViT of a DeiT has.
    """
    if any(name.startswith("tokens_to_token.") for name in state):
        raise InputError(f"checkpoint {where} is of a T2T-ViT, which is not read: take the one of a DeiT")
    gated = {
        dimension: sorted({int(name.split(".")[1]) for name in state if f".{theirs}." in name})
        for dimension, theirs in THEIRS.items()
    }
    decided = tuple(name for name in DIMENSIONS if gated[name])
    if not decided:
        raise InputError(f"checkpoint {where} has no gates: it is a backbone's, to be given with --weights")
    first = [gated[name][0] for name in ("layers", "heads") if gated[name]]
    ours = renamed(state)
    backbone = {name.removeprefix("backbone."): one for name, one in ours.items() if name.startswith("backbone.")}
    heads = state[f"blocks.{gated['heads'][0]}.head_select.mlp_head.weight"].shape[0] if gated["heads"] else None
    options = AdaViTOptions(dimensions=decided, static_blocks=min(first, default=1))
    precise = state["head.weight"].dtype == torch.float64  # half precision fits into float32 without loss
    model = AdaViTModel(deit_of(backbone, where, heads, crop_pct=CROP_PCT), options).to(
        torch.float64 if precise else None
    )
    compare(ours, model.state_dict(), where, "an AdaViT of these sizes")
    model.load_state_dict(ours)
    return model.eval()


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published names as ours; queries, keys and values joined."""
    found, apart = dict[str, Tensor](), dict[str, dict[str, Tensor]]()
    for name, tensor in state.items():
        gate = next((ours for ours, theirs in THEIRS.items() if f".{theirs}." in name), None)
        parts = name.split(".")
        if gate is not None:
            found[f"policies.{parts[1]}.gates.{gate}.{parts[-1]}"] = tensor
        elif len(parts) > 1 and parts[-2] in _APART:
            joined = ".".join([*parts[:-2], "qkv", parts[-1]])
            apart.setdefault(f"backbone.{joined}", {})[parts[-2]] = tensor
        else:
            found[f"backbone.{name}"] = tensor
    complete = {name: torch.cat([three[one] for one in _APART]) for name, three in apart.items() if len(three) == 3}
    return found | complete
