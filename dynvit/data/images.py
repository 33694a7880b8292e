"""The one decoder: an image's bytes to RGB, wherever they lie. docs/data.md holds its rules."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from dynvit.errors import InputError
from dynvit.reading import read_bytes

MOST_PIXELS = 178_956_970
"""Pillow's own limit, held where a package has lifted it too: 0.5 GB as RGB."""
LONGEST = 1000
"""Longer edge over shorter edge: resized to 256 pixels across, a longer image would take more than 0.2 GB."""

_PNG, _EPS = b"\x89PNG\r\n\x1a\n", (b"%!PS", b"\xc5\xd0\xd3\xc6")
_ALREADY_16_BITS = {"PNG", "PPM"}  # formats that Pillow opens in mode I though they have no more than 16 bits


class UndecodableError(InputError):
    """Bytes that are no image, or a damaged one. The message is the reason alone: the caller knows where they lie."""


def decode_image(content: bytes) -> Image.Image:
    """The image as RGB, 8 bits; as timm decodes it, but for 16 bits of grey, of which the upper 8 are kept.

    Raises: ``UndecodableError`` for whatever is wrong with it: nothing that Pillow raises comes through.
    """
    if content.startswith(_EPS):
        raise UndecodableError("EPS is a program, which is never run")
    if content.startswith(_PNG):
        _check_png(content)
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise UndecodableError("not an image") from error  # Pillow's message has an address of memory
    except Exception as error:  # a damaged file may raise anything
        raise _undecodable(error) from error
    with image:
        decoded = to_rgb(image)
    if image.format == "JPEG" and _ends_flat(decoded) and _ends_early(content, decoded):
        raise UndecodableError("its data end early, and the rest would be grey")
    return decoded


def to_rgb(image: Image.Image) -> Image.Image:
    """An open image by the decoder's rules.

    Raises: ``UndecodableError``: a file that was opened is not decoded yet, and may be damaged.
    """
    width, height = image.size
    if not 0 < width * height <= MOST_PIXELS or max(width, height) > LONGEST * min(width, height):
        raise UndecodableError(
            f"{width} x {height} pixels; it must have 1 to {MOST_PIXELS:,}, and one edge at most {LONGEST:,} times the "
            "other"
        )
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise InputError(
            "a package has set PIL.ImageFile.LOAD_TRUNCATED_IMAGES, by which damaged images turn grey: leave it unset"
        )
    try:
        image.load()
        return _converted(image)
    except UndecodableError:
        raise
    except Exception as error:
        raise _undecodable(error) from error


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """The image in a file, as RGB. Raises: ``InputError`` for a file that is missing or no image."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder: give the images in it")
    if not path.exists():
        raise InputError(f"no image {str(path)!r}: give files that exist")
    content = read_bytes(path, "image")  # a pipe is not waited for
    try:
        return decode_image(content)
    except UndecodableError as error:
        raise InputError(
            f"image {str(path)!r} cannot be decoded ({error}): give PNG, JPEG, WebP or the like, undamaged"
        ) from error


def image_size(content: bytes) -> tuple[int, int]:
    """Width and height, from the header alone. Units: pixels. Raises: ``UndecodableError``."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except Exception as error:
        raise _undecodable(error) from error


def images_in(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files of a folder, and of folders in it, that are called as images are; sorted."""
    kinds = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return (path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in kinds and path.is_file())


def _converted(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in _ALREADY_16_BITS):
        # convert() would cut each value off at 255. Of 16 bits of colour Pillow itself keeps the upper 8.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if mode in ("I", "F"):
        kind = "32-bit integers" if mode == "I" else "floating-point numbers"
        raise UndecodableError(f"its pixels are {kind}, and nothing says which of them is white: save 8 or 16 bits")
    # Colours are taken as they are stored, whatever is transparent; Pillow would warn of that in some palettes.
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _check_png(content: bytes) -> None:
    """Pillow holds every chunk to its checksum but those with the pixels."""
    view, at = memoryview(content), len(_PNG)
    while at + 12 <= len(content):
        length = int.from_bytes(view[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(content):
            return  # cut off: Pillow says so
        stored = int.from_bytes(view[end : end + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT" and zlib.crc32(view[at + 4 : end]) != stored:
            raise UndecodableError("the checksum of its pixels does not fit")
        at = end + 4


def _ends_flat(image: Image.Image) -> bool:
    """Whether the last blocks have one colour, as all that libjpeg fills in; few whole images do."""
    width, height = image.size
    blocks = image.crop((width * 3 // 4, (height - 1) // 8 * 8, width, height))
    pixels = np.asarray(blocks)
    return bool((pixels == pixels[:1, :1]).all())


def _ends_early(content: bytes, decoded: Image.Image) -> bool:
    """Whether a JPEG that has its end mark lacks data before it, which libjpeg tells nobody that Pillow asks.

    More data before the mark changes the image then, and is passed over where it is whole.
    """
    end = content.rfind(b"\xff\xd9")
    try:
        with Image.open(io.BytesIO(content[:end] + bytes(range(1, 128)) + content[end:])) as longer:
            return longer.convert("RGB").tobytes() != decoded.tobytes()
    except Exception:
        return False  # nothing is known then, and the image itself was decoded


def _undecodable(error: Exception) -> UndecodableError:
    said = re.sub(r" at 0x[0-9a-f]+", "", str(error))
    known = isinstance(error, OSError | SyntaxError | ValueError | Image.DecompressionBombError)
    return UndecodableError(said if known and said else f"{type(error).__name__}: {said}".removesuffix(": "))
