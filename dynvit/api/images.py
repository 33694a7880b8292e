"""Whatever people have for images, as a model takes them: pixels in [0, 1] of its size, in batches."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dynvit.data.images import UndecodableError, read_image, to_rgb
from dynvit.data.pixels import to_pixels
from dynvit.data.transforms import Preprocessing, evaluation_transform
from dynvit.errors import InputError
from dynvit.interface import Batch

BATCH = 64
WANTED = "a path, a PIL image, an array (H, W, 3) of uint8, a tensor in [0, 1], a list of these, or a DataLoader"
_BATCHES_OF_A_MAPPING = ("image", "images", "pixel_values")


class Pixels(NamedTuple):
    """One image as the model takes it. ``label`` is -1 where nobody told it. Shape: (3, H, W). Units: in [0, 1]."""

    image: Tensor
    label: int


def is_one(given: Any) -> bool:
    """Whether this is one image, not several."""
    return isinstance(given, str | os.PathLike | Image.Image | np.ndarray) or (
        isinstance(given, Tensor) and given.ndim < 4
    )


def read_pixels(given: Any, preprocessing: Preprocessing) -> Iterator[Pixels]:
    """Every image in what is given, one by one.

    Raises: ``InputError`` for what is no image, and for a tensor of another shape, type or range.
    """
    if is_one(given):
        yield Pixels(_one(given, preprocessing), -1)
    elif isinstance(given, Tensor):
        yield from _batch(given, None, preprocessing)
    elif isinstance(given, Iterable) and not isinstance(given, Mapping | bytes):
        for item in given:
            images, labels = _images_and_labels(item)
            if isinstance(images, Tensor) and images.ndim == 4:
                yield from _batch(images, labels, preprocessing)
            elif images is item:
                yield Pixels(_one(item, preprocessing), -1)
            else:
                yield Pixels(_one(images, preprocessing), _label(labels))
    else:
        raise _no_image(given)


def stacked(pixels: Iterable[Pixels], device: torch.device, classes: int) -> Iterator[Batch]:
    """Batches on the device; targets are one-hot, and zero where nobody told the label.

    Raises: ``InputError`` for a label that is no class.
    """
    given = iter(pixels)
    while some := list(islice(given, BATCH)):
        highest = max(one.label for one in some)
        if highest >= classes:
            raise InputError(f"labels must be below {classes}, the number of classes, got {highest}")
        labels = torch.tensor([one.label for one in some])
        targets = torch.nn.functional.one_hot(labels.clamp(min=0), classes).float() * (labels >= 0)[:, None]
        images = torch.stack([one.image.to(device) for one in some])
        yield Batch(images, labels.to(device), targets.to(device))


def _one(given: Any, preprocessing: Preprocessing) -> Tensor:
    if isinstance(given, Tensor):
        return _checked(given, preprocessing)
    if isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3:
            raise InputError(f"an array must be (H, W, 3) of uint8, got {given.shape} of {given.dtype}")
        given = Image.fromarray(given)
    elif isinstance(given, str | os.PathLike):
        given = read_image(given)
    if not isinstance(given, Image.Image):
        raise _no_image(given)
    try:
        image = to_rgb(given)
    except UndecodableError as error:
        name = getattr(given, "filename", "")
        raise InputError(f"an image{f' ({name})' if name else ''} cannot be decoded: {error}") from error
    return to_pixels(evaluation_transform(preprocessing)(image))


def _batch(images: Tensor, labels: Any, preprocessing: Preprocessing) -> Iterator[Pixels]:
    given = [-1] * len(images) if labels is None else [_label(label) for label in labels]
    if len(given) != len(images):
        raise InputError(f"a batch must have a label for each image, got {len(given)} for {len(images)}")
    checked = _checked(images, preprocessing)
    return (Pixels(image, label) for image, label in zip(checked, given, strict=True))


def _checked(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Shape: (3, H, W) or (B, 3, H, W), the model's own size."""
    edge = preprocessing.image_size
    if images.ndim not in (3, 4) or tuple(images.shape[-3:]) != (3, edge, edge):
        raise InputError(
            f"a tensor must be (3, {edge}, {edge}) or (B, 3, {edge}, {edge}), got {tuple(images.shape)}: a path or a "
            "PIL image is resized"
        )
    if not images.is_floating_point():
        raise InputError(f"a tensor must hold floats in [0, 1], got {images.dtype}: divide 8 bits by 255")
    low, high = (float(end) for end in images.aminmax()) if images.numel() else (0.0, 1.0)
    if not 0 <= low <= high <= 1:
        raise InputError(
            f"pixels must lie in [0, 1], got {low:.3g} to {high:.3g}: the model normalises them itself, leave that out"
        )
    return images.detach().float()


def _images_and_labels(item: Any) -> tuple[Any, Any]:
    """What a loader hands out: images, a pair of images and labels, or a mapping that names them."""
    if isinstance(item, Mapping):
        name = next((name for name in _BATCHES_OF_A_MAPPING if name in item), None)
        if name is None:
            raise InputError(f"a batch must have one of {', '.join(_BATCHES_OF_A_MAPPING)}, got {', '.join(item)}")
        return item[name], next((item[name] for name in ("label", "labels") if name in item), None)
    if isinstance(item, list | tuple) and item:
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _label(label: Any) -> int:
    """A class is counted: 3.0 is its number, and 3.7, nan, True and "3" are none, as Python's, numpy's or torch's."""
    try:
        plain: Any = label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label
        if plain is None:
            return -1
        number = int(plain) if isinstance(plain, float) and plain.is_integer() else operator.index(plain)
        if isinstance(plain, bool) or number < -1:
            raise ValueError
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"a label must be a class's number, a whole one, or -1 where it is not known, got {label!r}"
        ) from error
    return number


def _no_image(given: Any) -> InputError:
    return InputError(f"an image must be {WANTED}, got {type(given).__name__}")
