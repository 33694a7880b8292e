"""A data set of the same name with other images: what was begun on the one is not gone on with on the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import recorded, run_bench
from data_helpers import picture

from dynvit.data.packing import pack
from dynvit.errors import InputError
from dynvit.training.request import RunSettings, TrainRequest
from dynvit.training.run import train_to
from dynvit.training.running import RunningStage

PETS: dict[str, Any] = {"methods": ("dense", "topk"), "dataset": "pets", "backbone": "vit_digits"}
SMALL = PETS | {"train": True, "epochs": 1, "points": 2}


def pets(place: Path, first: int, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Cats and dogs in a folder to give as ``data_dir``; other images for another ``first``, in the splits named."""
    for split in ("train", "val"):
        for number in range(24):
            seed = number + (first if split in splits else 0) + 1000 * (split == "val")
            file = place / "raw" / split / ("cat", "dog")[number % 2] / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(seed))
    pack(place / "raw", place / "data" / "pets", quiet=True)
    return place / "data"


def test_a_bench_is_not_repeated_with_other_images(tmp_path: Path) -> None:
    here, there = pets(tmp_path / "a", 0), pets(tmp_path / "b", 100, ("val",))
    run_bench(None, {**SMALL, "data_dir": str(here), "output": str(tmp_path / "out")})
    before = (tmp_path / "out" / "runs.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"was made with images_manifest = \"[0-9a-f]{16}\", not \"[0-9a-f]{16}\""):
        run_bench(None, {**SMALL, "data_dir": str(there), "output": str(tmp_path / "out")})
    assert (tmp_path / "out" / "runs.jsonl").read_bytes() == before
    moved = shutil.move(here, tmp_path / "moved")
    run_bench(None, {**SMALL, "data_dir": str(moved), "output": str(tmp_path / "out")})
    assert (tmp_path / "out" / "runs.jsonl").read_bytes() == before
    assert recorded(tmp_path / "out")


def test_a_bench_of_before_manifests_were_kept_goes_on(tmp_path: Path) -> None:
    asked = {**SMALL, "data_dir": str(pets(tmp_path, 0)), "output": str(tmp_path / "out")}
    run_bench(None, asked)
    config = tmp_path / "out" / "bench.json"
    lines = [line for line in config.read_text().splitlines() if "images_manifest" not in line]
    config.write_text("\n".join(lines))
    before = (tmp_path / "out" / "runs.jsonl").read_bytes()
    run_bench(None, asked)
    assert (tmp_path / "out" / "runs.jsonl").read_bytes() == before


def training(place: Path) -> tuple[TrainRequest, RunSettings]:
    request = TrainRequest(method="dense", backbone="vit_digits", dataset="pets", epochs=1, batch_size=8)
    return request, RunSettings(data_dir=str(place), quiet=True, state_every=0)


def test_a_killed_training_is_not_gone_on_with_on_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, out = pets(tmp_path / "a", 0), pets(tmp_path / "b", 100), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(RunningStage, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train_to(out, *training(here))
    before = (out / "request.json").read_bytes()
    with pytest.raises(InputError, match=r"on the images of manifest [0-9a-f]{12}, and those that are given have"):
        train_to(out, *training(there))
    assert (out / "request.json").read_bytes() == before
    body = json.loads(before)
    del body["train_manifest_sha256"]
    (out / "request.json").write_text(json.dumps(body))  # as an older dynvit wrote it
    train_to(out, *training(Path(shutil.move(here, tmp_path / "moved"))))
    assert (out / "request.json").read_bytes() == before


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_finished_training_is_not_taken_for_one_on_other_images(tmp_path: Path) -> None:
    here, there, out = pets(tmp_path / "a", 0), pets(tmp_path / "b", 100), tmp_path / "out"
    train_to(out, *training(here))
    with pytest.raises(InputError, match="give the data that it was begun on by --data-dir, or a new folder"):
        train_to(out, *training(there))
    shutil.rmtree(here)
    assert train_to(out, *training(here)) == out  # where its images are no more, nobody can tell


def test_a_bench_reuses_no_training_on_other_images(tmp_path: Path) -> None:
    here, there = pets(tmp_path / "a", 0), pets(tmp_path / "b", 100, ("train",))
    run_bench(None, {**SMALL, "data_dir": str(here), "output": str(tmp_path / "out")})
    shutil.copytree(tmp_path / "out" / "train", tmp_path / "other" / "train")
    with pytest.raises(InputError, match="holds a training on the images of manifest"):
        run_bench(None, {**SMALL, "data_dir": str(there), "output": str(tmp_path / "other")})
    assert not (tmp_path / "other" / "runs.jsonl").exists()
