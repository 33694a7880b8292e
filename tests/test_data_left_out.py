"""No image is left out without a word: packed by content, or counted by kind; a check names what is not used."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from data_helpers import packed_classes, picture, put, write_dataset, write_shard, write_tree
from PIL import Image
from typer.testing import CliRunner

from dynvit.cli.data import app
from dynvit.data import open_split
from dynvit.data.archives import DANGLING, HIDDEN, SPECIAL
from dynvit.data.checking import check_folder
from dynvit.data.packing import NO_IMAGE, Packed, pack
from dynvit.data.scan import scan_shard
from dynvit.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


def packed(source: Path) -> Packed:
    return pack(source, source.parent / "out", quiet=True)


def members(out: Path) -> set[str]:
    """The names of the images in the one shard of a packed folder."""
    (shard,) = out.glob("*.tar")
    with tarfile.open(shard) as tar:
        return {name for name in tar.getnames() if not name.endswith(".cls")}


def tar_of(path: Path, *names: str, content: bytes | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, name in enumerate(names):
            data = picture(number) if content is None else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


# -- kinds of images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.jfif", "b.JPE", "b.JPEG", "b.jpg.part", "b", "b.dat"])
def test_a_jpeg_is_packed_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    made = packed(put(tmp_path / "s", "cat/a.jpg", f"cat/{name}"))
    assert (made.samples, made.left_out) == ({"validation": 2}, {})
    assert all(member.endswith(".jpg") for member in members(tmp_path / "out"))


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        ("png", "png"),
        ("webp", "webp"),
        ("avif", "avif"),
        ("bmp", "bmp"),
        ("gif", "gif"),
        ("tiff", "tif"),
        ("ppm", "ppm"),
    ],
)
@pytest.mark.parametrize("suffix", ["own", ".jpg"])
def test_every_kind_that_pillow_reads_is_packed_as_what_it_is(
    tmp_path: Path, kind: str, extension: str, suffix: str
) -> None:
    name = f"a.{extension.upper()}" if suffix == "own" else f"a{suffix}"
    put(tmp_path / "s", "cat/z.png")
    (tmp_path / "s" / "cat" / name).write_bytes(picture(1, kind=kind))
    assert packed(tmp_path / "s").samples == {"validation": 2}
    assert f"cat/a.{extension}" in members(tmp_path / "out")
    (tmp_path / "out" / "classnames.txt").unlink()
    source = open_split("cifar10", "validation", data_dir=tmp_path / "out")
    assert [source.read(i).image.size for i in range(2)] == [(8, 8)] * 2
    manifest = source.manifest
    (tmp_path / "out" / "manifest-validation.jsonl").unlink()
    assert open_split("cifar10", "validation", data_dir=tmp_path / "out").manifest == manifest


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\xff\xd8\xff", bytes(range(256)), b"P3 is text"])
@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.webp", "b.avif", "b.ppm"])
def test_what_is_called_an_image_and_is_none_is_counted(tmp_path: Path, name: str, content: bytes) -> None:
    source = put(tmp_path / "s", "cat/a.png")
    (source / "cat" / name).write_bytes(content)
    made = packed(source)
    assert (made.samples, made.left_out) == ({"validation": 1}, {NO_IMAGE: [f"cat/{name}"]})


def test_a_source_of_broken_images_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s" / "cat").mkdir(parents=True)
    (tmp_path / "s" / "cat" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no file holds an image that Pillow reads: cat/a\.png"):
        packed(tmp_path / "s")
    assert not (tmp_path / "out").exists()


def test_other_files_are_counted_by_kind(tmp_path: Path) -> None:
    source = put(tmp_path / "s", "cat/a.png", "cat/.DS_Store", "cat/._a.png", "__MACOSX/cat/a.png", ".git/x.png")
    for name in ("README", "notes.txt", "cat/more.TXT", "cat/clip.mp4"):
        (source / name).write_bytes(b"text")
    os.mkfifo(source / "cat" / "pipe.png")
    os.symlink("nowhere.png", source / "cat" / "gone.png")
    os.symlink("self.png", source / "cat" / "self.png")
    made = packed(source)
    assert made.samples == {"validation": 1}
    assert {kind: sorted(names) for kind, names in made.left_out.items()} == {
        HIDDEN: [".git", "__MACOSX", "cat/.DS_Store", "cat/._a.png"],
        SPECIAL: ["cat/pipe.png"],
        DANGLING: ["cat/gone.png", "cat/self.png"],
        ".txt files": ["cat/more.TXT", "notes.txt"],
        ".mp4 files": ["cat/clip.mp4"],
        "files without a suffix": ["README"],
    }


def test_the_last_lines_of_a_pack_say_what_was_packed_and_what_was_not(tmp_path: Path) -> None:
    source = put(tmp_path / "s", *(f"cat/{i}.png" for i in range(3)))
    (source / "cat" / "bad.jpg").write_bytes(b"")
    said = CliRunner().invoke(app, ["pack", str(source), str(tmp_path / "out")])
    *_, left_out, counts = said.stdout.splitlines()
    assert left_out == f"left out: 1 {NO_IMAGE}"
    assert counts.endswith("packed: validation 3 samples of 1 classes")
    (source / "cat" / "bad.jpg").unlink()
    assert "left out: nothing" in CliRunner().invoke(app, ["pack", str(source), str(tmp_path / "out")]).stdout


def test_images_that_a_table_does_not_name_are_counted(tmp_path: Path) -> None:
    source = put(tmp_path / "s", "images/a.png", "images/b.png")
    (source / "labels.csv").write_text("file,label\na.png,1\n")
    assert packed(source).left_out == {"images that no labels.csv names": ["images/b.png"]}


# -- links ---------------------------------------------------------------------------------------------------


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "real", "cat/a.png", "dog/a.png", "b.png")
    source = put(tmp_path / "s", "val/ant/a.png")
    for name in ("cat", "dog"):
        os.symlink(tmp_path / "real" / name, source / "val" / name)
    os.symlink(tmp_path / "real" / "b.png", source / "val" / "ant" / "b.png")
    assert packed(source).samples == {"validation": 4}
    assert set(packed_classes(tmp_path / "out").values()) == {"ant", "cat", "dog"}


def test_a_source_that_is_a_link_is_followed(tmp_path: Path) -> None:
    write_tree(tmp_path / "real")
    os.symlink(tmp_path / "real", tmp_path / "s")
    assert packed(tmp_path / "s").samples == {"train": 6, "validation": 6}


@pytest.mark.parametrize("target", [".", "..", "../../s"])
def test_a_link_that_leads_back_is_named(tmp_path: Path, target: str) -> None:
    source = put(tmp_path / "s", "cat/a.png")
    os.symlink(target, source / "cat" / "again")
    with pytest.raises(InputError, match="s/cat/again is a link that leads back"):
        packed(source)


def test_links_in_archives_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        link = zipfile.ZipInfo("cat/a.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "b.png")
    with pytest.raises(InputError, match=r"'cat/a\.png' is a link"):
        packed(tmp_path / "l.zip")


# -- archives ------------------------------------------------------------------------------------------------


def joined(tmp_path: Path) -> Path:
    first, second = tar_of(tmp_path / "1.tar", "cat/a.png"), tar_of(tmp_path / "2.tar", "cat/b.png")
    first.write_bytes(first.read_bytes() + second.read_bytes())
    return first


def joined_zips(tmp_path: Path) -> Path:
    content = b""
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"cat/{name}.png", picture(0))
        content += (tmp_path / f"{name}.zip").read_bytes()
    (tmp_path / "both.zip").write_bytes(content)
    return tmp_path / "both.zip"


def zip_of_twins(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("cat/a.png", picture(0))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/a.png", picture(1))
    return tmp_path / "t.zip"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (joined, "goes on after its end-of-archive mark"),
        (joined_zips, "more than one zip, joined"),
        (zip_of_twins, "holds 'cat/a.png' twice"),
        (lambda d: tar_of(d / "t.tar", "cat/a.png", "cat/b.png", "cat/a.png"), "holds 'cat/a.png' twice"),
        (lambda d: tar_of(d / "t.tar", "cat/a.png", "./cat/a.png"), "holds './cat/a.png' twice"),
        (lambda d: tar_of(d / "t.tar", "cat/a.png", "cat//a.png"), "twice"),
    ],
)
def test_archives_of_which_a_part_would_be_passed_over_are_refused(
    tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        packed(make(tmp_path))
    assert says in str(caught.value) or ("twice" in says and "twice" in str(caught.value))
    assert not (tmp_path / "out").exists()


def test_padding_after_the_mark_is_nothing(tmp_path: Path) -> None:
    source = tar_of(tmp_path / "s.tar", "cat/a.png")
    source.write_bytes(source.read_bytes() + bytes(3 << 20))
    assert packed(source).samples == {"validation": 1}


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, kind: str) -> None:
    folder = os.fsencode(tmp_path / "s" / "cat")
    os.makedirs(folder)
    with open(os.path.join(folder, b"\xff.png"), "wb") as file:
        file.write(picture(0))
    if kind == "tar":
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            tar.add(tmp_path / "s", ".")
    with pytest.raises(InputError, match="is not UTF-8: rename the file"):
        packed(tmp_path / ("s" if kind == "folder" else "s.tar"))


# -- shards --------------------------------------------------------------------------------------------------


def sample(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def shard_of(folder: Path, *members: tuple[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "x-validation-0.tar", "w") as tar:
        for name, content in members:
            sample(tar, name, content)
    return folder / "x-validation-0.tar"


ONE = (("a.png", picture(0)), ("a.cls", b"1"))
ODD_SHARDS: dict[str, tuple[tuple[tuple[str, bytes], ...], str]] = {
    "an image twice": ((("a.png", picture(0)), ("a.png", picture(1)), ("a.cls", b"1")), "has .png twice"),
    "a label twice": ((*ONE, ("a.cls", b"2")), "has .cls twice"),
    "two images": ((("a.png", picture(0)), ("a.jpg", picture(1)), ("a.cls", b"1")), "has two images (png, jpg)"),
    "two labels": ((*ONE, ("a.json", b'{"label": 2}')), "has label 1 in .cls and 2 in .json"),
    "no image": ((("a.txt", b"x"), ("a.cls", b"1")), "has no image"),
}


@pytest.mark.parametrize("case", ODD_SHARDS)
def test_a_sample_has_one_image_and_one_label(tmp_path: Path, case: str) -> None:
    content, says = ODD_SHARDS[case]
    shard = shard_of(tmp_path / "s", *content)
    with pytest.raises(InputError) as caught:
        scan_shard(shard)
    assert says in str(caught.value)
    assert any(says in fault.why for fault in check_folder(shard.parent, quiet=True).faults)


def test_a_key_that_comes_again_is_found(tmp_path: Path) -> None:
    shard = shard_of(tmp_path / "s", *ONE, ("b.png", picture(1)), ("b.cls", b"1"), *ONE)
    with pytest.raises(InputError, match=r"'a' is in x-validation-0\.tar and again"):
        open_split("cifar10", "validation", data_dir=shard.parent)
    assert [f.why for f in check_folder(shard.parent, quiet=True).faults] == ["this key is in the shard more than once"]


def test_a_shard_of_joined_tars_is_refused_and_its_first_part_may_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_dataset(folder, {"validation": 10})
    first, second = folder / "demo-validation-00.tar", folder / "demo-validation-01.tar"
    first.write_bytes(first.read_bytes() + second.read_bytes())
    (folder / "_info.json").unlink()
    second.unlink()
    with pytest.raises(InputError, match="goes on after its end-of-archive mark"):
        open_split("cifar10", "validation", data_dir=folder)
    assert len(open_split("cifar10", "validation", data_dir=folder, on_bad_sample="skip")) == 5
    assert "goes on after" in check_folder(folder, quiet=True).faults[0].why


def test_a_check_names_every_file_that_is_not_used(tmp_path: Path) -> None:
    write_tree(tmp_path / "raw")
    pack(tmp_path / "raw", tmp_path / "s", quiet=True)
    folder = tmp_path / "s"
    (folder / "README.md").write_text("read me")
    (folder / "manifest-test.jsonl").write_text("")
    (folder / "more").mkdir()
    assert check_folder(folder, quiet=True).faults == ()
    shutil.copy(folder / "s-train-00000.tar", folder / "s-train-00001.tar")
    shutil.copy(folder / "s-train-00000.tar", folder / "s-train-00002.TAR")
    report = check_folder(folder, quiet=True)
    assert report.unused == ("README.md", "manifest-test.jsonl", "more/")
    assert [fault.shard for fault in report.faults] == ["s-train-00001.tar", "s-train-00002.TAR"]
    said = CliRunner().invoke(app, ["check", str(folder)])
    assert (said.exit_code, "README.md\t-\tnot used" in said.output) == (1, True)
    assert "12 samples read, 2 bad, 3 files not used" in said.output


def test_a_check_names_members_of_no_sample_and_keys_over_shards(tmp_path: Path) -> None:
    shard = shard_of(tmp_path / "s", *ONE, ("._a.png", b"x"), ("NOTES", b"x"))
    write_shard(shard.with_name("x-validation-1.tar"), [("a", 1, picture(3))])
    found = {(f.shard, f.key, f.why) for f in check_folder(shard.parent, quiet=True).faults}
    assert found == {
        (shard.name, "._a.png", "this member is of no sample"),
        (shard.name, "NOTES", "this member is of no sample"),
        ("x-validation-1.tar", "a", "this key is in x-validation-0.tar too"),
    }


def test_the_same_source_gives_the_same_bytes_with_and_without_what_is_left_out(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "raw")
    pack(source, tmp_path / "a" / "d", quiet=True)
    (source / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (source / "train" / "cat" / "zz.jpg").write_bytes(b"no image")
    assert pack(source, tmp_path / "a" / "d", quiet=True).unchanged


def test_an_animation_is_packed_whole(tmp_path: Path) -> None:
    frames = [Image.new("P", (8, 8), color) for color in (1, 2, 3)]
    (tmp_path / "s" / "cat").mkdir(parents=True)
    frames[0].save(tmp_path / "s" / "cat" / "a.gif", save_all=True, append_images=frames[1:])
    content = (tmp_path / "s" / "cat" / "a.gif").read_bytes()
    packed(tmp_path / "s")
    (shard,) = (tmp_path / "out").glob("*.tar")
    assert content in shard.read_bytes()
