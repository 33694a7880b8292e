"""What a manifest says of an image is held to when the image is read: other bytes are never measured under its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from data_helpers import pack_pets, picture, write_shard

from dynvit.data import DatasetSpec, ImageSource, open_split
from dynvit.data.folder_dataset import find_dataset
from dynvit.data.pixels import PixelBatches
from dynvit.data.source import BadSampleError, ChangedSampleError
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import Preprocessing
from dynvit.errors import InputError
from dynvit.interface import Augment

PLAIN = Preprocessing(8, 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pets(tmp_path: Path) -> DatasetSpec:
    return find_dataset(str(pack_pets(tmp_path)))


def shard_of(pets: DatasetSpec, split: str) -> Path:
    return Path(pets.folder or "") / f"pets-{split}-00000.tar"


def listed(pets: DatasetSpec, split: str) -> list[dict[str, int]]:
    text = (Path(pets.folder or "") / f"manifest-{split}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def swap(pets: DatasetSpec, split: str) -> str:
    """Two images of one size change places, and the file keeps its times. Returns: the key of the first."""
    shard, rows = shard_of(pets, split), listed(pets, split)
    a, b = next((a, b) for i, a in enumerate(rows) for b in rows[:i] if a["size"] == b["size"])
    content, then = bytearray(shard.read_bytes()), shard.stat()
    places = [slice(row["offset"], row["offset"] + row["size"]) for row in (a, b)]
    content[places[0]], content[places[1]] = content[places[1]], content[places[0]]
    shard.write_bytes(content)
    os.utime(shard, ns=(then.st_atime_ns, then.st_mtime_ns))
    return str(a["key"])


READERS: dict[str, tuple[str, Callable[[ImageSource], object]]] = {
    "evaluation": ("validation", lambda source: list(PixelBatches(source, PLAIN))),
    "evaluation in workers": ("validation", lambda source: list(PixelBatches(source, PLAIN, workers=1))),
    "training, pixels kept": ("train", lambda source: TrainingBatches(source, PLAIN, Augment(), batch_size=2)),
    "training, images kept": (
        "train",
        lambda source: TrainingBatches(source, PLAIN, Augment(crop_scale=0.5), batch_size=2),
    ),
    "training, decoded for each view": (
        "train",
        lambda source: list(
            TrainingBatches(source, PLAIN, Augment(crop_scale=0.5), batch_size=2, memory_mb=0, drop_last=False).epoch(0)
        ),
    ),
    "one by one": ("validation", lambda source: [source.read(i) for i in range(len(source))]),
    "a part": ("validation", lambda source: [source.subset([i]).read(0) for i in range(len(source))]),
}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_images_that_changed_places_are_refused_by_shard_and_key(pets: DatasetSpec, reader: str, skip: bool) -> None:
    split, read = READERS[reader]
    swap(pets, split)
    opened = open_split(pets, split, calibration=1, on_bad_sample="skip" if skip else "raise")
    with pytest.raises(
        InputError, match=rf"pets-{split}-00000\.tar, key '\S+' is another image than manifest"
    ) as caught:
        read(opened)
    assert "Traceback" not in str(caught.value)
    assert not isinstance(caught.value, BadSampleError), "what has changed is not skipped"


def test_a_damaged_image_is_a_bad_sample_that_also_says_its_bytes_are_others(pets: DatasetSpec) -> None:
    row, shard = listed(pets, "validation")[0], shard_of(pets, "validation")
    content = bytearray(shard.read_bytes())
    content[row["offset"] + 60] ^= 255
    shard.write_bytes(content)
    with pytest.raises(BadSampleError, match=r"cannot be decoded .*not those that were listed"):
        open_split(pets, "validation").read(0)
    loader = PixelBatches(open_split(pets, "validation", on_bad_sample="skip"), PLAIN)
    assert sum(len(batch.ids) for batch in loader) == 9
    assert list(loader.bad) == [row["key"]]


def test_a_shard_that_changes_after_it_was_scanned_is_refused_and_scanned_again(tmp_path: Path) -> None:
    shard = tmp_path / "demo-validation-00.tar"
    write_shard(shard, [("a", 0, picture(0)), ("b", 1, picture(1))])
    opened = open_split("cifar10", "validation", data_dir=tmp_path)
    kept = tmp_path / "cache" / "manifests"
    assert len(list(kept.iterdir())) == 1
    write_shard(shard, [("a", 0, picture(1)), ("b", 1, picture(0))])
    with pytest.raises(ChangedSampleError, match=r"key 'a' is another image .* run the command again"):
        opened.read(0)
    assert open_split("cifar10", "validation", data_dir=tmp_path).read(0).label == 0


def test_a_scan_of_other_bytes_is_dropped(tmp_path: Path) -> None:
    shard = tmp_path / "demo-validation-00.tar"
    write_shard(shard, [("a", 0, picture(0))])
    open_split("cifar10", "validation", data_dir=tmp_path)
    (kept,) = (tmp_path / "cache" / "manifests").iterdir()
    line = json.loads(kept.read_text())
    kept.write_text(json.dumps(line | {"sha256": "0" * 64}))
    with pytest.raises(ChangedSampleError, match="that scan is dropped"):
        open_split("cifar10", "validation", data_dir=tmp_path).read(0)
    assert open_split("cifar10", "validation", data_dir=tmp_path).read(0).id == "a"


def test_a_shorter_shard_is_not_read_past_its_manifest(pets: DatasetSpec) -> None:
    shard = shard_of(pets, "validation")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"pets-validation-00000\.tar is truncated.*last good key"):
        open_split(pets, "validation")
    skipping = open_split(pets, "validation", on_bad_sample="skip")
    assert skipping.expected == 10 == len(skipping) + skipping.lost
    assert [skipping.read(i).id for i in range(len(skipping))]
    write_shard(shard, [("other", 0, picture(0))])
    with pytest.raises(InputError, match="shorter than its packed manifest says"):
        open_split(pets, "validation")


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": ""},
        {"sha256": "xyz"},
        {"sha256": None},
        {"offset": "3"},
        {"size": -1},
        {"label": 1.0},
        {"label": True},
    ],
)
def test_a_manifest_whose_values_cannot_be_held_is_refused(pets: DatasetSpec, change: dict[str, object]) -> None:
    rows = listed(pets, "validation")
    rows[1] |= change  # type: ignore[arg-type]
    file = Path(pets.folder or "") / "manifest-validation.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"manifest-validation\.jsonl is not a manifest \(line 2: "):
        open_split(pets, "validation")
