"""Packing keeps every image's bytes, writes the same bytes each time, and trusts no archive."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import hashes, picture, write_dataset, write_tree
from typer.testing import CliRunner

from dynvit.cli.data import app
from dynvit.data import datasets, open_split
from dynvit.data.checking import check_folder
from dynvit.data.packing import pack
from dynvit.errors import InputError
from dynvit.files import sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree")


def zipped(tree: Path, target: Path, top: str = "") -> Path:
    """A zip whose members stand in no order."""
    files = sorted((p for p in tree.rglob("*") if p.is_file()), key=lambda p: p.name, reverse=True)
    with zipfile.ZipFile(target, "w") as archive:
        for file in files:
            archive.write(file, f"{top}{file.relative_to(tree)}")
    return target


def tarred(tree: Path, target: Path, mode: Any, top: str = ".") -> Path:
    with tarfile.open(target, mode) as archive:
        archive.add(tree, top)
    return target


def as_zip(tree: Path) -> Path:
    return zipped(tree, tree.parent / "t.zip")


def as_wrapped_zip(tree: Path) -> Path:
    return zipped(tree, tree.parent / "w.zip", "wrapper/v1/")


def as_tar(tree: Path) -> Path:
    return tarred(tree, tree.parent / "t.tar", "w")


def as_xz(tree: Path) -> Path:
    return tarred(tree, tree.parent / "t.tar.xz", "w:xz", "wrapper")


def as_gz(tree: Path) -> Path:
    return tarred(tree, tree.parent / "t.tgz", "w:gz")


@pytest.mark.parametrize("form", [Path, as_zip, as_wrapped_zip, as_tar, as_gz, as_xz])
def test_every_form_of_a_tree_packs_to_the_same_bytes(tree: Path, form: Callable[[Path], Path]) -> None:
    reference, other = tree.parent / "a" / "demo", tree.parent / "b" / "demo"
    pack(tree, reference, shard_size=4)
    os.utime(tree / "train" / "cat" / "00.png", (10**9, 10**9))  # times are no part of the data
    packed = pack(form(tree), other, shard_size=4)
    assert packed.samples == {"train": 6, "validation": 6}
    assert hashes(reference) == hashes(other)
    assert pack(tree, reference, shard_size=4).unchanged


def test_images_keep_their_bytes_labels_and_names(tree: Path) -> None:
    out = tree.parent / "cifar10"
    pack(tree, out, shard_size=4)
    source = open_split("cifar10", "validation", data_dir=out)
    for sample in source.manifest.samples:
        content = (tree / "test" / f"{sample.key}.png").read_bytes()
        with (out / sample.shard).open("rb") as shard:
            shard.seek(sample.offset)
            assert shard.read(sample.size) == content
        assert source.spec.class_names[sample.label] == sample.key.split("/")[0]
    assert (out / "classnames.txt").read_text() == "cat\ndog\n"
    info = json.loads((out / "_info.json").read_text())["splits"]["train"]
    assert info == {
        "name": "train",
        "num_samples": 6,
        "filenames": ["cifar10-train-00000.tar", "cifar10-train-00001.tar"],
        "shard_lengths": [4, 2],
        "shard_sha256": [sha256_of(out / name) for name in ("cifar10-train-00000.tar", "cifar10-train-00001.tar")],
    }


def test_a_packed_manifest_is_what_a_scan_finds(tree: Path) -> None:
    out = tree.parent / "cifar10"
    long = tree / "train" / "cat" / ("n" * 150 + ".png")  # a name that needs a header of its own
    long.write_bytes(picture(7))
    pack(tree, out)
    packed = (
        open_split("cifar10", "validation", data_dir=out).manifest,
        open_split("cifar10", "train", data_dir=out).manifest,
    )
    for manifest in out.glob("manifest-*.jsonl"):
        manifest.unlink()
    assert packed == (
        open_split("cifar10", "validation", data_dir=out).manifest,
        open_split("cifar10", "train", data_dir=out).manifest,
    )


def test_names_that_would_clash_as_keys_stay_apart(tmp_path: Path) -> None:
    folder = tmp_path / "flat" / "cat"
    folder.mkdir(parents=True)
    for i, name in enumerate(("a.png", "a.webp", "b.v1.png", "b_v1.png")):
        (folder / name).write_bytes(picture(i, kind=name.rpartition(".")[2]))
    pack(tmp_path / "flat", tmp_path / "cifar10")
    source = open_split("cifar10", "validation", data_dir=tmp_path / "cifar10")
    assert {sample.key for sample in source.manifest.samples} == {"cat/a", "cat/a-2", "cat/b_v1", "cat/b_v1-2"}
    assert all(source.read(i).image.size == (8, 8) for i in range(4))


def test_a_table_of_labels_packs(tmp_path: Path) -> None:
    (tmp_path / "src" / "images").mkdir(parents=True)
    for i in range(4):
        (tmp_path / "src" / "images" / f"{i}.png").write_bytes(picture(i))
    rows = 'Filename, Label,split\n0.png,7,train\n1.png,2,train\n\n 2.png,02,Test\n"3.png",7.0,test \n'
    (tmp_path / "src" / "labels.csv").write_text(rows, encoding="utf-8-sig")
    pack(tmp_path / "src", tmp_path / "cifar10")
    found = open_split("cifar10", "validation", data_dir=tmp_path / "cifar10").manifest.samples
    assert {(s.key, s.label) for s in found} == {("2", 2), ("3", 7)}


# -- CIFAR's pickles -----------------------------------------------------------------------------------------


def cifar_batches(folder: Path, label_key: str, members: dict[str, int], meta: tuple[str, str, list[str]]) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, rows in members.items():
        labels = [i % len(meta[2]) for i in range(rows)]
        batch = {label_key: labels, "data": rng.integers(0, 256, (rows, 3072), np.uint8)}
        (folder / name).write_bytes(pickle.dumps({k.encode(): v for k, v in batch.items()}, protocol=2))
    names = {meta[1].encode(): [name.encode() for name in meta[2]]}
    (folder / meta[0]).write_bytes(pickle.dumps(names, protocol=2))
    return folder


def test_cifar10_pickles_pack_in_the_official_order_pixel_for_pixel(tmp_path: Path) -> None:
    names = list(datasets.get("cifar10").class_names)
    members = {f"data_batch_{i}": 10 for i in range(1, 6)} | {"test_batch": 10}
    folder = cifar_batches(tmp_path / "cifar-10-batches-py", "labels", members, ("batches.meta", "label_names", names))
    pack(tarred(folder, tmp_path / "c.tar.gz", "w:gz", folder.name), tmp_path / "cifar10")
    assert (tmp_path / "cifar10" / "classnames.txt").read_text().split() == names == sorted(names)
    source = open_split("cifar10", "validation", data_dir=tmp_path / "cifar10")
    data = pickle.loads((folder / "test_batch").read_bytes())[b"data"]
    for i in range(10):
        example = source.read(i)
        name, _, position = example.id.partition("/")
        assert names[example.label] == name
        assert np.array_equal(np.asarray(example.image), data[int(position)].reshape(3, 32, 32).transpose(1, 2, 0))


def test_cifar100_pickles_pack(tmp_path: Path) -> None:
    names = list(datasets.get("cifar100").class_names)
    assert len(names) == 100
    assert names == sorted(names)
    folder = cifar_batches(
        tmp_path / "py", "fine_labels", {"train": 20, "test": 5}, ("meta", "fine_label_names", names)
    )
    assert pack(folder, tmp_path / "cifar100").samples == {"train": 20, "validation": 5}


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cifar_batches(tmp_path / "py", "fine_labels", {"train": 2, "test": 2}, ("meta", "fine_label_names", ["a"]))
    (folder / "test").write_bytes(pickle.dumps({b"data": Evil()}, protocol=2))
    with pytest.raises(InputError, match=r"a pickle asks to run (posix|nt)\.system"):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "out").exists()


# -- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../cat/x.png", "/cat/x.png", "train/../../x.png", "train\\..\\x.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_leads_outside_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    source = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr(name, picture(0))
    else:
        with tarfile.open(source, "w") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(picture(0))
            tar.addfile(member, io.BytesIO(picture(0)))
    with pytest.raises(InputError, match="leads outside"):
        pack(source, tmp_path / "out" / "demo")
    assert not (tmp_path / "out" / "demo").exists()


def test_a_link_in_a_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        member = tarfile.TarInfo("train/cat/x.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(InputError, match="is a link"):
        pack(tmp_path / "l.tar", tmp_path / "out")


@pytest.mark.parametrize("form", [as_zip, as_tar, as_gz])
@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_a_broken_archive_is_named_and_leaves_nothing(tree: Path, form: Callable[[Path], Path], keep: float) -> None:
    source = form(tree)
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * keep)])
    out = tree.parent / "out"
    with pytest.raises(InputError, match=source.name):
        pack(source, out / "demo")
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "holds no image"),
        (lambda d: (d / "x.png").write_bytes(b""), "is in no class folder"),
        (lambda d: (write_tree(d, ["."]) / "x.bmp").touch(), "x.bmp lies beside the class folders cat, dog"),
        (lambda d: (d / "labels.csv").write_text("a,b\n1,2\n"), "no column file or filename or image or path"),
        (lambda d: (d / "labels.csv").write_text("file,label\nx.png,2\n"), "'x.png', which is not among"),
        (lambda d: (d / "labels.csv").write_text(""), "labels.csv is not CSV"),
        (
            lambda d: (d / "labels.csv").write_text("file,label\nx,y.png,2\n"),
            "line 2 has 3 cells, and there are 2 columns",
        ),
        (lambda d: (d / "labels.csv").write_bytes(b"file,label\n\xff.png,2\n"), "must be UTF-8"),
        (lambda d: [(d / "x.png").touch(), (d / "labels.csv").write_text("file,label\nx.png\n")], "x.png no label"),
    ],
)
def test_a_source_that_fits_no_layout_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    (tmp_path / "src").mkdir()
    make(tmp_path / "src")
    with pytest.raises(InputError, match=message):
        pack(tmp_path / "src", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_destination_with_other_content_is_left_alone(tree: Path) -> None:
    out = tree.parent / "out"
    pack(tree, out)
    before = hashes(out)
    (tree / "train" / "cat" / "00.png").write_bytes(picture(99))
    with pytest.raises(InputError, match="holds another packing"):
        pack(tree, out)
    with pytest.raises(InputError, match="holds other files"):
        pack(tree, tree)
    assert hashes(out) == before
    assert [p.name for p in tree.parent.iterdir() if p.name.startswith(".")] == []


def test_a_killed_pack_leaves_nothing_that_looks_done_and_can_be_repeated(tree: Path) -> None:
    out = tree.parent / "k" / "demo"
    code = (
        "import os, signal, sys; from pathlib import Path; from dynvit.progress import Progress\n"
        "def die(self, *a, **k):\n    self.done += 1\n    self.done == 9 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "Progress.advance = die\n"
        "from dynvit.data.packing import pack; pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=2)"
    )
    killed = subprocess.run([sys.executable, "-c", code, tree, out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert (out.parent / ".demo.partial").is_dir()
    pack(tree, out, shard_size=2)
    pack(tree, tree.parent / "u" / "demo", shard_size=2)
    assert hashes(out) == hashes(tree.parent / "u" / "demo")
    assert [p.name for p in out.parent.iterdir()] == ["demo"]


# -- check ---------------------------------------------------------------------------------------------------


def test_a_good_folder_checks_clean(tree: Path) -> None:
    out = tree.parent / "demo"
    runner = CliRunner()
    packed = runner.invoke(app, ["pack", str(tree), str(out)])
    assert (packed.exit_code, "train 6, validation 6" in packed.output) == (0, True)
    checked = runner.invoke(app, ["check", str(out)])
    assert (checked.exit_code, "12 samples read, 0 bad" in checked.output) == (0, True)


def test_check_finds_each_kind_of_damage(tree: Path) -> None:
    out = tree.parent / "demo"
    pack(tree, out, shard_size=2)
    shards = sorted(out.glob("*.tar"))
    flipped = bytearray(shards[0].read_bytes())
    flipped[1600] ^= 255  # in the first image
    shards[0].write_bytes(flipped)
    shards[1].write_bytes(shards[1].read_bytes()[:3000])
    shards[2].unlink()
    found = {(fault.shard, fault.why.split(" ")[0]) for fault in check_folder(out).faults}
    assert (shards[0].name, "sha256") in found
    assert (shards[1].name, "shard") in found
    assert (shards[1].name, "holds") in found
    assert (shards[2].name, "missing") in found
    assert not {shard for shard, _ in found} & {s.name for s in shards[3:]}
    assert CliRunner().invoke(app, ["check", str(out)]).exit_code == 1


def test_check_finds_labels_out_of_range_and_images_that_are_none(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "demo", {"validation": 10}, classes=10)
    (folder / "classnames.txt").write_text("a\n" * 9)
    shutil.copy(folder / "demo-validation-00.tar", tmp_path / "good.tar")
    assert [(f.key, f.why) for f in check_folder(folder).faults] == [("validation0009", "label 9 is out of range")]
