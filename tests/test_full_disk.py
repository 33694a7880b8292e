"""A disk that is full, or a folder that vanishes: one line, nothing half is taken for whole, the next run goes on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import timm
from bench_helpers import recorded
from data_helpers import write_dataset, write_tree
from fsspec.implementations.memory import MemoryFileSystem

from disk_helpers import small_disk
from dynvit import cli
from dynvit.data.fetching import held
from dynvit.data.packing import pack
from dynvit.data.pixels import PixelBatch, PixelBatches
from dynvit.errors import InputError
from dynvit.leaderboard.lines import LineStore
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore

PUBLISHED = Path(__file__).parents[1] / "leaderboards" / "digits.runs.jsonl"
BENCH = "bench --methods dense,dynamicvit --epochs 1 --points 2 --limit 20 --batch-size 16 --state-every 0 --device cpu"


def bench(folder: Path) -> int:
    return cli.main([*BENCH.split(), "--output", str(folder)])


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calm") / "out"
    assert bench(folder) == 0
    return folder


@pytest.mark.slow
def test_a_bench_on_a_disk_that_fills_up_again_and_again_ends_in_the_same_records(
    calm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, codes = tmp_path / "out", list[int]()
    left = 10
    while not codes or codes[-1]:
        capfd.readouterr()
        with small_disk(folder, left) as disk:
            codes.append(bench(folder))
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("dynvit: error")]
        assert codes[-1] == 0 or (codes[-1] == 2 and disk.left == 0)
        assert len(said) == (codes[-1] != 0), said
        assert all("no space is left on its disk" in line and str(folder) in line for line in said), said
        assert list(folder.rglob("*.tmp")) == []
        left = left * 2 + 1
    assert len(codes) > 8
    assert recorded(folder) == recorded(calm)


@pytest.mark.parametrize("left", [0, 700, 3000, 20_000])
def test_packing_on_a_full_disk_leaves_nothing(tmp_path: Path, left: int) -> None:
    tree, disk = write_tree(tmp_path / "tree", each=9), tmp_path / "disk"
    disk.mkdir()
    with (
        small_disk(disk, left),
        pytest.raises(InputError, match=r"^cannot write .*disk/made: No space left .*; nothing is left behind"),
    ):
        pack(tree, disk / "made", quiet=True)
    assert [path for path in disk.iterdir() if path.name != ".made.lock"] == []
    assert sum(pack(tree, disk / "made", quiet=True).samples.values()) == 36


@pytest.mark.parametrize("left", [0, 100, 9000])
def test_a_fetch_on_a_full_disk_is_one_line_and_keeps_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    folder = write_dataset(tmp_path / "set", {"validation": 20}, shards=1)
    shard = next(folder.glob("*.tar")).read_bytes()
    MemoryFileSystem().pipe("/full/x-validation-0.tar", shard)
    with small_disk(tmp_path / "cache", left), pytest.raises(InputError, match=r"cannot write in .*No space left"):
        held("memory://full/x-validation-0.tar")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".tar", ".tmp")] == []
    with held("memory://full/x-validation-0.tar") as found:
        assert found.path.read_bytes() == shard


# -- folders that vanish -------------------------------------------------------------------------------------


def test_a_folder_that_vanishes_while_records_are_written_is_said(tmp_path: Path) -> None:
    lines = RunStore(PUBLISHED).read()
    store: LineStore[Record] = RunStore(tmp_path / "share" / "runs.jsonl")
    with store:
        store.append(lines[0])
        shutil.rmtree(tmp_path / "share")
        with pytest.raises(InputError, match=r"runs\.jsonl is gone, or another file is there"):
            store.append(lines[1])
    assert not (tmp_path / "share").exists()


@pytest.mark.slow
def test_a_bench_whose_output_vanishes_ends_in_one_line_and_can_be_run_again(
    calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, plain, appended = tmp_path / "out", LineStore.append, list[object]()

    def vanishing(self: LineStore[Record], line: Record) -> None:
        plain(self, line)
        appended.append(line)
        if len(appended) == 3:
            shutil.rmtree(folder)

    with monkeypatch.context() as patch:
        patch.setattr(LineStore, "append", vanishing)
        assert bench(folder) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("dynvit: error")]
    assert len(said) == 1
    assert "is gone" in said[0]
    assert bench(folder) == 0
    assert recorded(folder) == recorded(calm)


def test_a_data_set_that_vanishes_while_it_is_read_ends_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    data, reading = write_dataset(tmp_path / "cifar10", {"train": 30, "validation": 20}), PixelBatches.__iter__
    weights = tmp_path / "drawn.safetensors"
    safetensors.torch.save_file(timm.create_model("vit_digits", num_classes=10).state_dict(), weights)

    def vanishing(self: PixelBatches) -> Iterator[PixelBatch]:
        shutil.rmtree(data, ignore_errors=True)
        return reading(self)

    command = ["bench", "--methods", "dense", "--dataset", "cifar10", "--data-dir", str(data), "--no-train"]
    command += ["--backbone", "vit_digits", "--weights", str(weights), "-o", str(tmp_path / "out")]
    for workers in ("0", "1"):
        with monkeypatch.context() as patch:
            patch.setattr(PixelBatches, "__iter__", vanishing)
            assert cli.main([*command, "--workers", workers]) == 2
        said = capfd.readouterr().err
        assert "Traceback" not in said
        assert re.search(r"dynvit: error: shard \S+demo-validation-00.tar cannot be read: No such file", said)
        write_dataset(data, {"train": 30, "validation": 20})
    assert cli.main(command) == 0
