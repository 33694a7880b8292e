"""The kinds of image files: told by content; names only say which files are looked at first."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

from PIL import Image

# Pillow's formats that are photographs or drawings, and what a shard calls a member of that kind.
_EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "AVIF": "avif",
    "BMP": "bmp",
    "GIF": "gif",
    "TIFF": "tif",
    "PPM": "ppm",
    "JPEG2000": "jp2",
}
IMAGE_KEYS = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "bmp", "gif"),
    *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k"),
)
"""What shards of any maker call the image of a sample."""

SUFFIXES = frozenset({f".{key}" for key in IMAGE_KEYS} | {".apng", ".mpo", ".dib", ".jpx", ".jpc", ".j2c"})
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  \r\n")
_HEAD = 16


def called_an_image(name: str) -> bool:
    """Whether a file has the name of an image.

    >>> called_an_image("cat/a.JFIF"), called_an_image("cat/a"), called_an_image("labels.csv")
    (True, False, False)
    """
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def begins_as_image(head: bytes) -> bool:
    """Whether the first bytes are those of an image whose kind cannot be mistaken.

    >>> begins_as_image(b"GIF89a..."), begins_as_image(b"<html>")
    (True, False)
    """
    head = head[:_HEAD]
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis")
    return webp or avif or head.startswith(_SIGNATURES)


def extension_of(content: bytes) -> str | None:
    """What a shard calls an image of this content; None where Pillow reads none of the kinds in it."""
    try:
        with Image.open(io.BytesIO(content), formats=tuple(_EXTENSIONS)) as image:
            return _EXTENSIONS.get(image.format or "", "jpg")  # MPO: a JPEG of several pictures
    except Image.DecompressionBombError:
        return None
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, OverflowError, EOFError):
        return None
