"""A folder that was packed is a data set: found by path, by name and folder, by $DYNVIT_DATA; refused in one line."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from data_helpers import hashes, pack_pets, picture, write_dataset, write_shard, write_tree
from PIL import Image
from typer.testing import CliRunner

from dynvit.cli import data as data_cli
from dynvit.data import datasets, find_dataset, open_split, split_names
from dynvit.data.folder_dataset import LARGE
from dynvit.data.packing import pack
from dynvit.errors import InputError
from dynvit.request import SessionRequest
from dynvit.session import open_session


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, without $DYNVIT_DATA."""
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DYNVIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pets(place: Path) -> Path:
    return pack_pets(place)


def images(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    """Packed images of these sizes, of one class."""
    for number, (width, height) in enumerate(sizes):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 256, (height, width), np.uint8)
        Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
        (folder / "raw" / "thing").mkdir(parents=True, exist_ok=True)
        (folder / "raw" / "thing" / f"{number}.png").write_bytes(buffer.getvalue())
    pack(folder / "raw", folder / "packed", quiet=True)
    return folder / "packed"


# -- found ---------------------------------------------------------------------------------------------------


def test_what_was_packed_opens_with_its_classes_and_splits(pets: Path) -> None:
    session = open_session(SessionRequest(dataset=str(pets)))
    spec = session.dataset
    assert (spec.name, spec.num_classes, spec.class_names, spec.image_size) == ("pets", 2, ("cat", "dog"), 8)
    assert (spec.mean, spec.std, spec.folder) == (None, None, str(pets))
    assert session.backbone.num_classes == 2
    train, held, validation = (session.split(name) for name in ("train", "calibration", "validation"))
    assert (len(train), len(held), len(validation)) == (18, 2, 10)
    assert not {s.key for s in train.manifest.samples} & {s.key for s in held.manifest.samples}
    for source in (train, validation):
        assert all(spec.class_names[s.label] == s.key.partition("/")[0] for s in source.manifest.samples)
        assert source.spec is spec
    example = validation.read(0)
    assert (example.image.size, example.image.mode) == ((8, 8), "RGB")


@pytest.mark.parametrize(
    ("name", "data_dir", "called"),
    [
        ("data/pets", None, "pets"),
        ("./data/pets/", None, "pets"),
        ("data/pets", "data", "pets"),
        ("data/pets", "data/pets", "pets"),
        ("pets", "data", "pets"),
        ("pets", "data/pets", "pets"),
        ("animals", "data/pets", "animals"),
    ],
)
def test_a_folder_is_found_and_everybody_gets_the_same_shards(
    pets: Path, name: str, data_dir: str | None, called: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_dataset(name, data_dir)
    assert (spec.name, spec.folder) == (called, str(pets))
    assert split_names(spec, data_dir) == ["train", "validation", "calibration"]
    manifest = open_split(str(pets), "validation").manifest
    assert open_split(name, "validation", data_dir=data_dir).manifest == manifest
    assert open_split(spec, "validation", data_dir=data_dir).manifest == manifest
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert open_split(spec, "validation").manifest == manifest


def test_a_name_is_looked_for_here_and_in_dynvit_data(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_DATA", str(pets.parent))
    assert find_dataset("pets").folder == str(pets)
    monkeypatch.chdir(pets)
    assert (find_dataset(".").name, find_dataset("../pets").folder) == ("pets", str(pets))
    monkeypatch.delenv("DYNVIT_DATA")
    monkeypatch.chdir(pets.parent)
    assert find_dataset("pets").folder == str(pets)


def test_a_registered_name_comes_before_a_folder_of_that_name(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pets.rename(pets.with_name("digits"))
    monkeypatch.setenv("DYNVIT_DATA", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    assert find_dataset("digits") is datasets.get("digits")
    assert find_dataset("./digits").num_classes == find_dataset(str(folder)).num_classes == 2


def test_another_place_may_be_named_for_the_same_set(pets: Path, place: Path) -> None:
    write_tree(place / "other", ["val"], 2)
    pack(place / "other", place / "more", quiet=True)
    assert len(open_split(find_dataset(str(pets)), "validation", data_dir=place / "more")) == 4


def test_shards_of_other_tools_need_only_class_names(place: Path) -> None:
    folder = write_dataset(place / "shapes", {"val": 6, "test": 4, "train": 20})
    (folder / "_info.json").unlink()
    (folder / "classnames.txt").write_text(
        "\ufeff" + "\r\n".join(f"shape {i}" for i in range(10)) + "\r\n\r\n", "utf-8"
    )
    spec = find_dataset("shapes")
    assert (spec.num_classes, spec.class_names[0], spec.class_names[9]) == (10, "shape 0", "shape 9")
    assert [len(open_split(spec, name)) for name in ("validation", "test", "train")] == [6, 4, 18]


def test_test_is_validation_where_there_is_no_other(place: Path) -> None:
    folder = write_dataset(place / "shapes", {"test": 4})
    (folder / "_info.json").unlink()
    (folder / "classnames.txt").write_text("a\n" * 10)
    assert len(open_split("shapes", "validation")) == 4


def test_without_class_names_the_packed_labels_count(pets: Path) -> None:
    (pets / "classnames.txt").unlink()
    spec = find_dataset(str(pets))
    assert (spec.num_classes, spec.class_names) == (2, ())


@pytest.mark.parametrize(
    ("sizes", "edge"),
    [
        ([(8, 8)] * 3, 8),
        ([(64, 64)] * 12, 64),
        ([(32, 32), (48, 48)], 48),
        ([(65, 65)] * 3, LARGE),
        ([(32, 24)] * 3, LARGE),
        ([(32, 32), (300, 200)], LARGE),
    ],
)
def test_the_native_edge_is_that_of_small_squares(place: Path, sizes: list[tuple[int, int]], edge: int) -> None:
    assert find_dataset(str(images(place, sizes))).image_size == edge


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_images_of_8_pixels_are_a_data_set(place: Path, mode: str) -> None:
    session = open_session(SessionRequest(dataset=str(images(place, [(8, 8)] * 3, mode))))
    assert (session.backbone.name, session.dataset.small) == ("vit_digits", True)
    assert session.split("validation").read(0).image.mode == "RGB"


def test_a_broken_image_does_not_hide_the_others(place: Path) -> None:
    broken = [("a", 0, b"no image"), ("b", 0, picture(1, 16)), ("c", 0, picture(2, 16))]
    (place / "s").mkdir()
    write_shard(place / "s" / "s-validation-0.tar", broken)
    (place / "s" / "classnames.txt").write_text("thing\n")
    spec = find_dataset("s")
    assert spec.image_size == 16
    with pytest.raises(InputError, match="key 'a' cannot be decoded"):
        open_split(spec, "validation").read(0)


# -- remote --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(pets: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(pets.parent)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("pattern", ["/pets", "/pets/", "/pets/pets-validation-{00000..00000}.tar"])
def test_a_url_is_a_place_like_any(pets: Path, server: str, pattern: str) -> None:
    spec, local = find_dataset("pets", server + pattern), find_dataset(str(pets))
    assert (spec.class_names, spec.image_size) == (local.class_names, local.image_size)
    assert open_split(spec, "validation").manifest == open_split(local, "validation").manifest


def test_dynvit_data_may_be_a_url(pets: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_DATA", server)
    assert find_dataset("pets").folder == f"{server}/pets"


def test_a_url_without_class_names_is_refused(pets: Path, server: str) -> None:
    (pets / "classnames.txt").unlink()
    with pytest.raises(InputError, match=r"must have classnames\.txt beside its shards: cannot fetch"):
        find_dataset("pets", f"{server}/pets")
    with pytest.raises(InputError, match="is a URL: give it as --data-dir"):
        find_dataset(f"{server}/pets")


# -- refused -------------------------------------------------------------------------------------------------


def tree(folder: Path) -> None:
    write_tree(folder)


def classes(folder: Path) -> None:
    write_tree(folder, ["."])


def loose(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.JPG").write_bytes(picture(1, kind="JPEG"))


def table(folder: Path) -> None:
    folder.mkdir()
    (folder / "labels.csv").write_text("file,label\n")


def empty(folder: Path) -> None:
    folder.mkdir()


def notes(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")


def archive(folder: Path) -> None:
    folder.mkdir()
    write_shard(folder / "photos.tar", [("a", 0, picture(0))])


def broken_info(folder: Path) -> None:
    write_dataset(folder, {"train": 4})
    (folder / "_info.json").write_bytes(b"\xff\xfe")


def no_names(folder: Path) -> None:
    write_dataset(folder, {"train": 4})


def hollow_names(folder: Path) -> None:
    write_dataset(folder, {"train": 4})
    (folder / "classnames.txt").write_text("a\n\nb\n")


def lost_shard(folder: Path) -> None:
    write_dataset(folder, {"train": 4})
    (folder / "classnames.txt").write_text("a\n" * 10)
    (folder / "demo-train-00.tar").unlink()


def above(folder: Path) -> None:
    write_dataset(folder / "inner", {"train": 4})


def a_file(folder: Path) -> None:
    folder.write_text("text")


LOOKED_FOR = ("is no packed data set", "_info.json", "NAME-SPLIT-00000.tar", "classnames.txt")
TO_PACK = (*LOOKED_FOR, "pack it first: dynvit data pack 'my set' 'my set-packed'", "--dataset './my set-packed'")
REFUSED: dict[Callable[[Path], None], tuple[str, ...]] = {
    tree: TO_PACK,
    classes: TO_PACK,
    loose: TO_PACK,
    table: TO_PACK,
    empty: (*LOOKED_FOR, "nothing that could be packed", ".png"),
    notes: (*LOOKED_FOR, "nothing that could be packed", ".csv"),
    archive: ("cannot tell the splits of my set", "NAME-SPLIT-00000.tar", "_info.json"),
    broken_info: ("_info.json is not in the convention", "dynvit data pack"),
    no_names: ("holds shards", "add classnames.txt, a name a line"),
    hollow_names: ("classnames.txt must hold a class name in each line", "line 2 is empty"),
    lost_shard: ("demo-train-00.tar is missing",),
    above: (*LOOKED_FOR, "lies above inner", "--dataset 'my set/inner'"),
    a_file: ("my set is a file", "_info.json", "classnames.txt"),
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("path", ["my set", "./my set"])
def test_a_folder_that_is_no_data_set_is_refused_in_one_line(
    place: Path, make: Callable[[Path], None], path: str
) -> None:
    make(place / "my set")
    before = hashes(place)
    with pytest.raises(InputError) as caught:
        open_session(SessionRequest(dataset=path))
    assert "\n" not in str(caught.value)
    for part in REFUSED[make]:
        assert part in str(caught.value)
    assert hashes(place) == before


@pytest.mark.parametrize(
    ("name", "data_dir", "says"),
    [
        ("./digit", None, ("there is no './digit'", "did you mean 'digits'?", "imagenet")),
        ("/nowhere/pets", None, ("there is no '/nowhere/pets'", "cifar10, cifar100, digits, imagenet")),
        ("pest", None, ("unknown dataset 'pest'", "no folder 'pest' here", "DYNVIT_DATA is not set")),
        ("digit", None, ("unknown dataset 'digit'", "did you mean 'digits'")),
        ("pets", "nowhere", ("there is no folder nowhere/pets or nowhere",)),
        ("cats", "data", ("data is no packed data set", "lies above pets", "--dataset data/pets")),
        ("raw", "data", ("lies above pets",)),
        ("data/pets", "raw", ("--data-dir raw is another",)),
        ("data/pets", "hf://datasets/a/b", ("--data-dir hf://datasets/a/b is another",)),
        ("data/pets/pets-train-00000.tar", None, ("is one shard", "--dataset data/pets")),
        ("digits", "data/pets", ("digits comes with", "from no folder", "got --data-dir data/pets: leave out")),
        ("digits", "nowhere", ("got --data-dir nowhere", "or give --dataset")),
        ("", None, ("unknown dataset ''",)),
    ],
)
def test_a_place_where_nothing_is_comes_with_what_there_is(
    pets: Path, name: str, data_dir: str | None, says: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        find_dataset(name, data_dir)
    for part in says:
        assert part in str(caught.value)


def test_a_name_near_to_a_folder_in_dynvit_data_is_told(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_DATA", str(pets.parent))
    with pytest.raises(InputError, match=r"unknown dataset 'pest': did you mean 'pets'.*here or in"):
        find_dataset("pest")


def test_an_archive_is_to_be_packed_first(place: Path) -> None:
    write_shard(place / "photos.tar", [("a", 0, picture(0))])
    with pytest.raises(InputError, match=r"dynvit data pack photos\.tar photos, then give --dataset \./photos"):
        find_dataset("photos.tar")


def test_the_command_that_is_told_makes_the_data_set(place: Path) -> None:
    write_tree(place / "raw", ["train", "val"])
    with pytest.raises(InputError, match=r"dynvit data pack raw raw-packed, then give --dataset \./raw-packed"):
        find_dataset("raw")
    packed = CliRunner().invoke(data_cli.app, ["pack", "raw", "raw-packed"])
    assert packed.exit_code == 0
    assert "to use it: --dataset ./raw-packed" in packed.output
    assert find_dataset("./raw-packed").class_names == ("cat", "dog")
