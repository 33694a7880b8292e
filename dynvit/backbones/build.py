"""A backbone from a name and weights: what timm makes, sized for a dataset."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg, is_model
from timm.models.levit import Levit
from torch import nn

from dynvit.backbones import levit_small as _levit_small  # noqa: F401 - registers our own models with timm
from dynvit.backbones import small as _small  # noqa: F401
from dynvit.backbones import t2t as _t2t  # noqa: F401
from dynvit.backbones.weights import find_weights, fit, read_weights
from dynvit.errors import InputError
from dynvit.files import sha256_of


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone with everything that ``build`` needs, so that it can be built again.

    ``name`` is timm's, with or without a tag; ``weights`` a path, ``hf://OWNER/REPO``, or None to draw them from
    ``seed``. ``new_head`` allows weights of another class count or without a head, which is then drawn: for training.
    ``mean`` and ``std`` replace what the weights were trained with.

    Units: ``image_size`` the edge in pixels, None for what the backbone was published for; mean and std of pixels
    in [0, 1].
    """

    name: str
    image_size: int | None = None
    num_classes: int = 1000
    weights: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    new_head: bool = False
    seed: int = 0


@dataclass(frozen=True)
class BackboneInfo:
    """What a record stores about a backbone. ``weights_sha256`` is of the file; None where weights were drawn.

    Units: ``image_size`` (height, width) in pixels.
    """

    name: str
    weights_uri: str | None
    weights_sha256: str | None
    image_size: tuple[int, int]
    num_classes: int
    params: int


def build(spec: BackboneSpec) -> nn.Module:
    """The timm model, in float32 on the CPU, in train mode as timm makes it.

    Its ``pretrained_cfg`` tells the image size, mean, std and classes that it now has. Random numbers are drawn from
    ``spec.seed`` only, and the global generator is restored.

    Raises: ``InputError`` for an unknown name (with the nearest), a size that the patches do not divide, and weights
    that are missing, unsafe or of another shape.
    """
    _check_name(spec.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = _create(spec)
    size = image_size(model) if spec.image_size is None else (spec.image_size, spec.image_size)
    config = dict(_config(model))
    config |= {"input_size": (3, *size), "num_classes": spec.num_classes}
    config |= {key: value for key, value in (("mean", spec.mean), ("std", spec.std)) if value is not None}
    vars(model).update(pretrained_cfg=config, default_cfg=config)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if isinstance(model, Levit):
        patch = (model.stem.stride, model.stem.stride)  # patches overlap, and each step is one token
    if isinstance(patch, tuple) and any(edge % cut for edge, cut in zip(size, patch, strict=True)):
        raise InputError(f"image size must be a multiple of the patch size {patch[0]} of {spec.name}, got {size[0]}")
    if spec.weights is not None:
        state = read_weights(find_weights(spec.weights))
        model.load_state_dict(fit(state, model, new_head=spec.new_head, where=spec.weights))
    return model


def pretrained_weights(name: str) -> str | None:
    """Where timm's own weights of a backbone are, for the tag in its name or else timm's default; None where nowhere.

    >>> pretrained_weights("deit_tiny_patch16_224"), pretrained_weights("vit_digits")
    ('hf://timm/deit_tiny_patch16_224.fb_in1k', None)
    """
    try:
        config = get_pretrained_cfg(name) if is_model(name.partition(".")[0]) else None
    except RuntimeError:  # a tag that the architecture does not have
        return None
    if config is None or not config.hf_hub_id:
        return None
    return f"hf://{config.hf_hub_id}" + (f"/{config.hf_hub_filename}" if config.hf_hub_filename else "")


def describe(spec: BackboneSpec, backbone: nn.Module) -> BackboneInfo:
    """What a record stores about ``backbone``, as ``build`` gave it for ``spec``."""
    return BackboneInfo(
        name=spec.name,
        weights_uri=spec.weights,
        weights_sha256=None if spec.weights is None else sha256_of(find_weights(spec.weights)),
        image_size=image_size(backbone),
        num_classes=spec.num_classes,
        params=sum(parameter.numel() for parameter in backbone.parameters()),
    )


def image_size(backbone: nn.Module) -> tuple[int, int]:
    """Height and width of a timm model's input, from its config. Units: pixels."""
    _, height, width = _config(backbone)["input_size"]
    return height, width


def _config(backbone: nn.Module) -> Mapping[str, Any]:
    return vars(backbone)["pretrained_cfg"]


def _check_name(name: str) -> None:
    if is_model(name.partition(".")[0]):
        return
    # A thousand names are too many to list; an unfinished name is compared with the beginnings of names.
    begun = {known[: len(name) + 1]: known for known in reversed(timm.list_models())}
    near = [begun[start] for start in difflib.get_close_matches(name, begun, n=3)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "it takes timm's model names;"
    raise InputError(f"unknown backbone {name!r}: {hint} dynvit ls backbones shows them")


def _create(spec: BackboneSpec) -> nn.Module:
    try:
        if spec.image_size is not None:
            try:
                return timm.create_model(spec.name, num_classes=spec.num_classes, img_size=spec.image_size)
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
                # A convolutional network takes every size and has no such argument.
        return timm.create_model(spec.name, num_classes=spec.num_classes)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        size = "" if spec.image_size is None else f" for images of {spec.image_size} pixels"
        raise InputError(f"timm cannot make {spec.name}{size}: {str(error) or type(error).__name__}") from error
