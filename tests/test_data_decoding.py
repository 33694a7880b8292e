"""One decoder for all: an image is timm's pixels, 16-bit grey its upper 8 bits, and a damaged one a bad sample."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import picture, write_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dynvit.api.images import read_pixels
from dynvit.data import DatasetSpec, Manifest, Sample, open_split
from dynvit.data.checking import check_folder
from dynvit.data.corruptions.precomputed import FolderSource
from dynvit.data.images import LONGEST, UndecodableError, decode_image, read_image
from dynvit.data.source import BadSampleError
from dynvit.data.transforms import Preprocessing
from dynvit.errors import InputError

RAMP = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
COLOURS = np.random.default_rng(0).integers(0, 256, (13, 11, 4), np.uint8)
PLAIN = Preprocessing(8, 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *, before: bytes = b"") -> bytes:
    """A PNG of any header; ``before`` stands before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def colours(mode: str) -> Image.Image:
    return Image.fromarray(COLOURS, "RGBA").convert(mode)


def palette(**transparent: Any) -> bytes:
    return encoded(colours("RGB").quantize(16), "PNG", **transparent)


def moving(kind: str) -> bytes:
    frames = [colours("RGB"), Image.new("RGB", (11, 13), "red")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(colours("RGB"), "JPEG", exif=exif)


KINDS: dict[str, Callable[[], bytes]] = {
    "rgb.png": lambda: encoded(colours("RGB"), "PNG"),
    "one-bit.png": lambda: encoded(colours("1"), "PNG"),
    "grey.png": lambda: encoded(colours("L"), "PNG"),
    "grey-alpha.png": lambda: encoded(colours("LA"), "PNG"),
    "alpha.png": lambda: encoded(colours("RGBA"), "PNG"),
    "alpha.webp": lambda: encoded(colours("RGBA"), "WEBP", lossless=True),
    "palette.png": palette,
    "palette-transparent.png": lambda: palette(transparency=3),
    "palette-half-transparent.png": lambda: palette(transparency=bytes(range(0, 256, 16))),
    "grey-transparent.png": lambda: encoded(colours("L"), "PNG", transparency=7),
    "colour-16-bit.png": lambda: png(2, 2, 16, 2, b"".join(b"\0" + bytes(COLOURS[i, :3].tobytes()) for i in range(2))),
    "grey.jpg": lambda: encoded(colours("L"), "JPEG"),
    "cmyk.jpg": lambda: encoded(colours("CMYK"), "JPEG"),
    "progressive.jpg": lambda: encoded(colours("RGB"), "JPEG", progressive=True),
    "turned.jpg": turned,
    "moving.gif": lambda: moving("GIF"),
    "moving.webp": lambda: moving("WEBP"),
    "moving.png": lambda: moving("PNG"),
    "lossy.webp": lambda: encoded(colours("RGB"), "WEBP"),
    "cmyk.tif": lambda: encoded(colours("CMYK"), "TIFF"),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_has_timms_pixels(name: str, tmp_path: Path) -> None:
    from timm.data import ImageDataset

    content = KINDS[name]()
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / f"{Path(name).stem}.jpg").write_bytes(content)  # timm lists files by their names
    theirs, _ = ImageDataset(str(tmp_path))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = decode_image(content)
    assert ours.mode == "RGB"
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_the_first_frame_is_taken_and_no_orientation_followed() -> None:
    assert decode_image(KINDS["turned.jpg"]()).size == (11, 13)
    for name in ("moving.gif", "moving.webp", "moving.png"):
        assert len(decode_image(KINDS[name]()).getcolors() or ()) > 1, "the second frame is all red"


DEEP: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded(Image.fromarray(RAMP), "PNG"),
    "tif": lambda: encoded(Image.fromarray(RAMP), "TIFF"),
    "big-endian.tif": lambda: encoded(Image.fromarray(RAMP.astype(">u2")), "TIFF"),
    "pgm": lambda: b"P5 8 8 65535\n" + RAMP.astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", DEEP)
def test_of_16_bits_of_grey_the_upper_8_are_kept_by_every_reader(kind: str, tmp_path: Path) -> None:
    content, want = DEEP[kind](), (RAMP >> 8).astype(np.uint8)
    file = tmp_path / "r.img"
    file.write_bytes(content)
    write_shard(tmp_path / "demo-validation-00.tar", [("r", 1, content)])
    shard = open_split("cifar10", "validation", data_dir=tmp_path)
    listed = Manifest((Sample("r.img", "r", 1, 0, len(content), "."),))
    folder = FolderSource(shard.spec, "validation", listed, root=tmp_path)
    for image in (decode_image(content), shard.read(0).image, folder.read(0).image, read_image(file)):
        assert np.array_equal(np.asarray(image), np.repeat(want[..., None], 3, 2))
    (pixels,) = read_pixels([file], PLAIN)
    assert np.array_equal((pixels.image[0] * 255).round().numpy(), want)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_of_which_nothing_says_what_is_white_are_refused(kind: type) -> None:
    with pytest.raises(UndecodableError, match="nothing says which of them is white"):
        decode_image(encoded(Image.fromarray(np.ones((4, 4), kind)), "TIFF"))


def damaged_jpeg(keep: float) -> bytes:
    """A JPEG that was cut off, then given its end mark again: libjpeg fills the rest with grey."""
    smooth = Image.fromarray(COLOURS[..., :3]).resize((96, 64))
    content = encoded(smooth, "JPEG")
    return content[: int(len(content) * keep)] + b"\xff\xd9"


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "not an image"),
    "text": (lambda: b"<html>log in first</html>", "not an image"),
    "a jpeg that is cut off": (lambda: encoded(colours("RGB"), "JPEG")[:-40], "truncated"),
    "a jpeg that is cut off and closed": (lambda: damaged_jpeg(0.7), "end early"),
    "a png that is cut off": (lambda: KINDS["rgb.png"]()[:100], "truncated"),
    "a webp that is cut off": (lambda: KINDS["lossy.webp"]()[:60], "."),
    "a gif that is cut off": (lambda: KINDS["moving.gif"]()[:100], "."),
    "a chunk that is short": (lambda: png(1, 1, 8, 0, b"\0\0", before=chunk(b"iCCP", b"\0")), "."),
    "a chunk of a bad size": (lambda: png(1, 1, 8, 0, b"\0\0", before=chunk(b"pHYs", b"\0")), "."),
    "a wrong checksum": (lambda: KINDS["rgb.png"]().replace(b"IHDR", b"IHDR", 1)[:29] + b"...." + b"\0" * 40, "."),
    "pixels with a wrong checksum": (lambda: flipped(KINDS["rgb.png"](), b"IDAT", 60), "checksum"),
    "no pixel": (lambda: png(0, 4, 8, 0, b""), "."),
    "a bomb": (lambda: png(30_000, 30_000, 8, 0, b"\0"), "900000000|bomb"),
    "a thread": (lambda: encoded(Image.new("RGB", (1, LONGEST + 1)), "PNG"), "1 x 1001 pixels"),
    "a program": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "never run"),
}


def flipped(content: bytes, after: bytes, at: int) -> bytes:
    place = content.index(after) + at
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_file_is_a_bad_sample_in_every_reader(fault: str, tmp_path: Path) -> None:
    make, reason = FAULTS[fault]
    content = make()
    with pytest.raises(UndecodableError, match=reason) as caught:
        decode_image(content)
    assert "0x" not in str(caught.value)

    file = tmp_path / "bad.png"
    file.write_bytes(content)
    write_shard(tmp_path / "demo-validation-00.tar", [("good", 0, picture(0)), ("bad", 1, content)])
    with pytest.raises(BadSampleError, match=r"demo-validation-00\.tar, key 'bad' cannot be decoded"):
        open_split("cifar10", "validation", data_dir=tmp_path).read(1)
    listed = Manifest((Sample("bad.png", "bad", 1, 0, len(content), "."),))
    with pytest.raises(BadSampleError, match=r"bad\.png cannot be decoded"):
        FolderSource(DatasetSpec("d", 2, 8, "."), "validation", listed, root=tmp_path).read(0)
    with pytest.raises(InputError, match=r"bad\.png' cannot be decoded"):
        read_image(file)
    with pytest.raises(InputError, match=r"bad\.png' cannot be decoded"):
        list(read_pixels([file], PLAIN))
    assert [found.key for found in check_folder(tmp_path, quiet=True).faults] == ["bad"]


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(KINDS)),
    keep=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4),
)
@pytest.mark.filterwarnings("ignore")
def test_no_damage_raises_anything_else(name: str, keep: float, flips: list[tuple[float, int]]) -> None:
    content = bytearray(KINDS[name]())
    for place, bits in flips:
        content[int(place * len(content))] ^= bits
    try:
        image = decode_image(bytes(content[: int(keep * len(content))]))
    except UndecodableError:
        return
    assert image.mode == "RGB"


def test_a_whole_jpeg_that_ends_in_one_colour_is_no_damaged_one() -> None:
    for colour in ("white", "black", "grey"):
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 1}):
            image = decode_image(encoded(Image.new("RGB", (100, 70), colour), "JPEG", **options))
            assert image.getpixel((99, 69)) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))


def test_a_package_that_lets_damaged_images_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES") as caught:
        decode_image(picture(0))
    assert not isinstance(caught.value, UndecodableError)


def test_pillows_limits_hold_where_a_package_has_lifted_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UndecodableError, match="30000 x 30000 pixels"):
        decode_image(FAULTS["a bomb"][0]())


def test_an_image_that_is_open_and_damaged_is_named() -> None:
    image = Image.open(io.BytesIO(KINDS["rgb.png"]()[:100]))
    with pytest.raises(InputError, match="an image cannot be decoded: image file is truncated"):
        list(read_pixels(image, PLAIN))


@pytest.mark.parametrize(("path", "message"), [("", "is a folder"), ("none.png", "no image"), ("a\0b", "no image")])
def test_what_is_no_file_is_said_to_be_none(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(f"{tmp_path}/{path}")


def test_a_pipe_in_place_of_an_image_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="is a pipe"):
        read_image(tmp_path / "pipe.png")
