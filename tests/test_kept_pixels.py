"""Pixels that do not fit in memory are on disk: decoded once, right to the bit, and gone afterwards."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import PLAIN, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from dynvit.data import kept
from dynvit.data.kept import DiskAllowance, KeptPixels
from dynvit.data.pixels import PixelBatch, PixelBatches
from dynvit.data.transforms import Preprocessing

LARGE = Preprocessing(300, 1.0, "bicubic", PLAIN.mean, PLAIN.std)  # 0.26 MiB an image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path))
    return tmp_path / "pixels"


def loader(images: int = 24, memory_mb: int = 2, disk_mb: int = 100, workers: int = 0) -> PixelBatches:
    disk = DiskAllowance(disk_mb)
    return PixelBatches(numbered(images), LARGE, batch_size=2, memory_mb=memory_mb, disk=disk, workers=workers)


def same(one: list[PixelBatch], other: list[PixelBatch]) -> bool:
    return all(
        a.ids == b.ids and torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_point_over_more_images_than_fit_in_memory_decodes_nothing(workers: int) -> None:
    batches = loader(workers=workers)
    first, second, third = list(batches), list(batches), list(batches)
    assert batches.decoded == 24
    assert same(first, second)
    assert same(first, third)


def test_what_fits_neither_in_memory_nor_in_the_limit_is_decoded_again() -> None:
    batches = loader(disk_mb=3)  # a batch takes 0.51 MiB: three in memory, five on disk
    assert same(list(batches), list(batches))
    assert batches.decoded == 24 + 24 - 2 * (3 + 5)


def test_the_file_has_no_name_and_its_room_is_given_back(cache: Path) -> None:
    allowance = DiskAllowance(100)
    pixels = KeptPixels(0, allowance)
    assert pixels.keep(7, np.full((2, 3, 4, 4), 5, np.uint8))
    assert list(cache.iterdir()) == []
    assert allowance.left < 100 << 20
    held = pixels[7]
    del pixels
    gc.collect()
    assert allowance.left == 100 << 20
    assert held.eq(5).all()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see a process's open files")
def test_an_exception_leaves_no_file_open(cache: Path) -> None:
    def open_files() -> list[str]:
        found = [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if fd.isdigit() and os.path.islink(f"/proc/self/fd/{fd}")
        ]
        return [name for name in found if name.startswith(str(cache))]

    def point() -> None:
        for number, _ in enumerate(loader(memory_mb=0)):
            if number == 3:
                assert open_files()
                raise RuntimeError("a model that fails")

    with pytest.raises(RuntimeError, match="a model that fails"):
        point()
    gc.collect()
    assert open_files() == []


def test_a_killed_process_leaves_no_file(cache: Path) -> None:
    killed = """
import os, signal
import numpy as np
from dynvit.data.kept import DiskAllowance, KeptPixels
assert KeptPixels(0, DiskAllowance(9)).keep(0, np.ones((2, 3, 64, 64), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert list(cache.iterdir()) == []


def test_a_full_disk_is_one_line_and_images_are_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, written = kept._PixelFile.write, 0

    def full(self: kept._PixelFile, number: int, images: np.ndarray) -> bool:
        nonlocal written
        written += 1
        if written > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, number, images)

    monkeypatch.setattr(kept._PixelFile, "write", full)
    batches = loader(memory_mb=0)
    with pytest.warns(UserWarning, match="not kept on disk.*No space left") as warned:
        first = list(batches)
    assert len(warned) == 1
    assert same(first, list(batches))
    assert batches.decoded == 48


def test_a_disk_that_fills_in_a_later_pass_loses_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = loader(memory_mb=0, disk_mb=3)
    first = list(batches)

    def full(*_: object) -> bool:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(kept._PixelFile, "write", full)
    order = iter(batches)
    begun = [next(order)]
    batches._pixels._file = None  # what a full disk does, before the batches that are on it were asked for
    with pytest.warns(UserWarning, match="Disk quota exceeded"):
        assert same(first, begun + list(order))


def test_a_nearly_full_disk_is_left_to_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "free_bytes", lambda _: kept.RESERVE)
    batches = loader(memory_mb=0)
    with pytest.warns(UserWarning, match="512 MiB must be left on the disk"):
        list(batches)
    list(batches)
    assert batches.decoded == 48


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set DYNVIT_CACHE to a folder") as warned:
        list(loader(memory_mb=0))
    assert len(warned) == 1


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    memory=st.integers(0, 8000),
    seed=st.integers(0, 99),
)
def test_what_is_kept_comes_back_as_it_was_wherever_it_lies(sizes: list[int], memory: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    given = {n: draw.integers(0, 256, (size, 3, 5, 5), np.uint8) for n, size in enumerate(sizes)}
    pixels = KeptPixels(memory, DiskAllowance(1))
    for number, images in given.items():
        assert pixels.keep(number, images)
    for number, images in given.items():
        found = pixels[number]
        assert np.array_equal(found.numpy(), images)
        found.zero_()  # a caller's own change is no change of what is kept on disk
    assert all(np.array_equal(pixels[n].numpy(), given[n]) for n in given if n not in pixels._arrays)
