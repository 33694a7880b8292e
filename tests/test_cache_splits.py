"""A split whose shards do not all fit the cache is read all the same; the next shard is fetched ahead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cache_helpers import allow, empty_cache
from data_helpers import PLAIN, write_dataset
from fsspec.implementations.memory import MemoryFileSystem

from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches
from dynvit.errors import InputError


@pytest.fixture(autouse=True)
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_cache(tmp_path, monkeypatch)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """A set of five shards in a storage, and what was read of it."""
    folder = write_dataset(tmp_path / "cifar10", {"validation": 20}, shards=5)
    system, read, plain = MemoryFileSystem(), list[str](), MemoryFileSystem._open
    for file in folder.iterdir():
        system.pipe(f"/{tmp_path.name}/{file.name}", file.read_bytes())

    def counted(self: MemoryFileSystem, path: str, *given: object, **named: object) -> object:
        if path.startswith(f"/{tmp_path.name}/"):  # not what an earlier test fetches ahead
            read.append(path.rpartition("/")[2])
        return plain(self, path, *given, **named)

    monkeypatch.setattr(MemoryFileSystem, "_open", counted)
    return f"memory://{tmp_path.name}", read


def pixels(url: str, **how: object) -> list[tuple[list[str], list[int]]]:
    source = open_split("cifar10", "validation", data_dir=url)
    batches = PixelBatches(source, PLAIN, batch_size=3, memory_mb=0, **how)  # type: ignore[arg-type]
    return [(b.ids, b.images.flatten().tolist()) for _ in range(2) for b in batches]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("space_for", [1, 2.5])
def test_a_split_above_the_limit_gives_the_same_images_and_says_so_once(
    served: tuple[str, list[str]],
    tmp_path: Path,
    shards: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    space_for: float,
) -> None:
    url, read = served
    expected = pixels(url)
    assert len([name for name in read if name.endswith(".tar")]) == 5
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "small"))
    shard = max(path.stat().st_size for path in shards.glob("*/*.tar"))
    allow(monkeypatch, int(space_for * shard))
    read.clear()
    with pytest.warns(
        UserWarning, match="the cache has space for [12] of the 5 shards of cifar10 validation"
    ) as warned:
        assert pixels(url, workers=workers) == expected
    assert len(warned) == 1
    if not workers:
        passes, asked = 3, 2  # the opening and two; once in its turn, and ahead of it where there was no space yet
        assert len([name for name in read if name.endswith(".tar")]) <= 5 * passes * asked
    left = sum(path.stat().st_size for path in (tmp_path / "small" / "shards").glob("*/*.tar"))
    assert left <= max(space_for, workers) * shard


def test_the_next_shard_is_fetched_while_this_one_is_read(
    served: tuple[str, list[str]], tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, read = served
    source = open_split("cifar10", "validation", data_dir=url)
    for path in shards.glob("*/*.tar"):
        path.unlink()
    read.clear()
    source.read(0)
    deadline = time.monotonic() + 10
    while len(read) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read == ["demo-validation-00.tar", "demo-validation-01.tar"]


def test_a_limit_below_a_shard_is_one_line_of_the_command(
    served: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 2000)
    with pytest.raises(
        InputError, match=r"demo-validation-00\.tar takes .* GB or more, and DYNVIT_CACHE_GB allows 2e-06"
    ):
        open_split("cifar10", "validation", data_dir=served[0])


def test_the_cache_is_a_convenience_where_it_vanishes(served: tuple[str, list[str]], shards: Path) -> None:
    import shutil

    source = open_split("cifar10", "validation", data_dir=served[0])
    first = source.read(0)
    shutil.rmtree(shards.parent)
    assert source.read(0).image.tobytes() == first.image.tobytes()
    assert source.read(19).id == "validation0019"
    shutil.rmtree(shards.parent)
    shards.parent.write_text("a file where the cache was")
    with pytest.raises(InputError, match="set DYNVIT_CACHE to a folder that can be written"):
        source.read(10)
