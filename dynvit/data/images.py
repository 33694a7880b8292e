"""Single images, as people have them: a file of any kind that Pillow reads, or one that is open already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dynvit.errors import InputError
from dynvit.reading import check_regular


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """The image as RGB. Raises: ``InputError`` for a file that is missing or no image."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder: give the images in it")
    if path.exists():
        check_regular(path, "image")  # a pipe would be waited for
    try:
        with Image.open(path) as image:
            return to_rgb(image)
    except FileNotFoundError:
        raise InputError(f"no image {str(path)!r}: give files that exist") from None
    except UnidentifiedImageError:
        raise InputError(f"{str(path)!r} is not an image that Pillow reads: give PNG, JPEG, WebP or the like") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"image {str(path)!r} cannot be read: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in 8 bits of red, green and blue; of 16 bits of grey the upper 8 are kept."""
    if image.mode.startswith("I;16"):  # convert() would cut it off at 255
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def images_in(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files of a folder, and of folders in it, that are called as images are; sorted."""
    kinds = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return (path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in kinds and path.is_file())
