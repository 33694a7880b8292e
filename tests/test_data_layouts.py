"""Splits are told by one rule, the layouts of common downloads are packed as they come, and doubt is refused."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import packed_classes, picture, put, write_dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from dynvit.data import open_split, split_names
from dynvit.data.packing import Packed, pack
from dynvit.data.split_names import SPELLINGS, find_split, shard_named, split_named
from dynvit.errors import InputError

FISH, DOG = "n01440764", "n02102040"  # tench, English springer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


def packed(source: Path, **options: object) -> tuple[Packed, Path]:
    out = source.parent / f"{source.name.split('.')[0]}-out"
    return pack(source, out, quiet=True, **options), out  # type: ignore[arg-type]


def refusal(source: Path, **options: object) -> str:
    """The line that packing the source is refused with; nothing is left behind."""
    with pytest.raises(InputError) as caught:
        packed(source, **options)
    assert not list(source.parent.glob("*-out"))
    assert len(str(caught.value)) < 700
    return str(caught.value)


def tarred(folder: Path, target: Path, top: str = ".") -> Path:
    with tarfile.open(target, "w:gz" if target.suffix == ".tgz" else "w") as archive:
        archive.add(folder, top)
    shutil.rmtree(folder)
    return target


# -- the names of splits -------------------------------------------------------------------------------------


@given(st.sampled_from([(split, word) for split, words in SPELLINGS.items() for word in words]), st.data())
def test_a_split_is_told_in_any_case_and_beside_words_that_name_nothing(
    pair: tuple[str, str], data: st.DataObject
) -> None:
    split, word = pair
    cased = "".join(letter.upper() if data.draw(st.booleans()) else letter for letter in word)
    form = data.draw(st.sampled_from(["{}", "{}_set", "{} data", "{}-images", "seg_{}", "ILSVRC2012_img_{}", "{}set"]))
    assert split_named(form.format(cased)) == split


@pytest.mark.parametrize(
    "name",
    ["extra", "bullet train", "test_tube", "train_v2", "trained", "contest", "devil", "images", "", "validation-b"],
)
def test_other_names_are_no_splits(name: str) -> None:
    assert split_named(name) is None


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("imagenet1k-validation-b-03.tar", "validation-b"),
        ("set-val-0000.tar", "validation"),
        ("set_Test_0.tar", "test"),
        ("train-00000-of-01024.tar", "train"),
        ("cifar10-test-train-7.tar", "train"),
        ("mytrain-00.tar", None),
        ("train.tar", None),
        ("photos-00.tar", None),
    ],
)
def test_a_shard_tells_its_split_by_the_same_names(name: str, split: str | None) -> None:
    shard = shard_named(name)
    assert (shard and shard.split) == split


def test_a_split_is_asked_for_by_any_of_its_names() -> None:
    assert [find_split(name, ["training", "val"], "x") for name in ("train", "Validation", "val")] == [
        "training",
        "val",
        "val",
    ]
    assert find_split("val", ["val", "validation"], "x") == "val"
    with pytest.raises(InputError, match="may be any of val, validation"):
        find_split("dev", ["val", "validation"], "x")
    with pytest.raises(InputError, match="unknown split of x 'extra'"):
        find_split("extra", ["val"], "x")


def test_a_split_that_info_calls_otherwise_opens_by_its_usual_name(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cifar10", {"training": 20, "val": 10})
    assert split_names("cifar10", folder) == ["train", "validation", "calibration"]
    assert [len(open_split("cifar10", name, data_dir=folder)) for name in ("Train", "val", "validation")] == [
        18,
        10,
        10,
    ]
    assert len(open_split("digits", "VAL")) == len(open_split("digits", "validation"))


# -- folders of splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("training", "TESTING"), ("train_set", "eval"), ("trn", "dev")]
)
def test_split_folders_are_splits_however_they_are_spelled(tmp_path: Path, train: str, test: str) -> None:
    source = put(tmp_path / "src", *(f"top/{s}/{c}/{s}{c}.png" for s in (train, test) for c in ("cat", "dog")))
    made, out = packed(source)
    assert (made.samples, made.classes) == ({"train": 2, "validation": 2}, 2)
    assert packed_classes(out) == {f"{c}/{test}{c}": c for c in ("cat", "dog")}


def test_a_split_folder_in_one_of_the_same_name_is_one(tmp_path: Path) -> None:
    source = put(
        tmp_path / "src", *(f"{s}/{s}/{c}/1.png" for s in ("training_set", "test_set") for c in ("cat", "dog"))
    )
    assert packed(source)[0].samples == {"train": 2, "validation": 2}


PAIR = ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png")
WRAPPED = tuple(f"data/{path}" for path in PAIR)
DOUBTFUL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a folder beside splits": ((*PAIR, "extra/cat/2.png"), ("train, val", "extra/")),
    "an image beside splits": ((*PAIR, "preview.png"), ("preview.png",)),
    "an image above splits": ((*WRAPPED, "preview.png"), ("data/", "preview.png")),
    "an image beside wrapped splits": ((*WRAPPED, "data/a.png"), ("data/a.png",)),
    "a folder beside wrapped splits": ((*WRAPPED, "more/cat/1.png"), ("more/",)),
    "two spellings of a split": (
        (*PAIR, "Validation/cat/2.png", "Validation/dog/2.png"),
        ("Validation", "val", "both"),
    ),
    "a class named as a split": (("apple/1.png", "train/1.png"), ("train", "apple/", "class folders")),
    "splits in class folders": (("cat/train/1.png", "dog/train/1.png"), ("train", "dog/")),
    "other splits in a split": (("train/train/cat/1.png", "train/val/cat/1.png"), ("train, val", "no classes")),
    "a class that train lacks": ((*PAIR, "val/owl/1.png"), ("validation has a class (owl) that train lacks",)),
    "a class that test lacks": ((*PAIR, "train/owl/1.png"), ("train has a class (owl)", "--allow-missing-classes")),
    "a class in other letters": (("train/Cat/1.png", "val/cat/1.png"), ("(cat)", "spelled")),
    "validation and test of other classes": (("val/cat/1.png", "test/dog/1.png"), ("dog", "lacks")),
    "an image beside classes": ((*PAIR, "train/a.png"), ("train/a.png", "cat, dog")),
    "an image in no class": (("a.png", "b.png"), ("a.png is in no class folder", "labels.csv")),
    "images of no class in one folder": (("images/a.png", "images/b.png"), ("images/a.png is in no class folder",)),
    "training images of no class": (("train/a.png", "val/cat/1.png"), ("train/a.png is in no class folder",)),
    "domains": (
        tuple(f"{d}/{c}/1.png" for d in ("Art", "Clipart") for c in ("cat", "dog")),
        ("Art, Clipart", "cat, dog", "which are the classes?"),
    ),
    "splits of other names": (
        ("train1/cat/1.png", "train1/dog/1.png", "val1/cat/1.png"),
        ("train1, val1", "called like splits", "validation (validation|valid|val"),
    ),
    "splits of other names in one class": (("train_v2/cat/1.png", "val_v2/cat/1.png"), ("called like splits",)),
    "numbered splits without classes": (("train2017/1.png", "val2017/1.png"), ("train2017, val2017",)),
    "a split beside one of another name": ((*PAIR[:2], "test1/cat/1.png"), ("train", "test1/")),
    "parts of a download": (tuple(f"fold{i}/{c}/1.png" for i in range(9) for c in "ab"), ("fold0, fold1", "4 more")),
    "ImageNet's validation without classes": (
        ("val/ILSVRC2012_val_00000001.JPEG",),
        ("ILSVRC2012_val_00000001.JPEG is in no class folder", "LOC_val_solution.csv", "meta.mat"),
    ),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_doubt_about_splits_and_classes_is_refused_with_what_was_seen(tmp_path: Path, case: str) -> None:
    paths, says = DOUBTFUL[case]
    said = refusal(put(tmp_path / "src", *paths))
    for part in says:
        assert part in said


def test_a_split_may_lack_classes_where_that_is_said(tmp_path: Path) -> None:
    source = put(tmp_path / "src", *PAIR, "train/ant/1.png")
    out = packed(source, allow_missing_classes=True)[1]
    assert packed_classes(out) == {"cat/1": "cat", "dog/1": "dog"}
    put(source, "val/owl/1.png")
    with pytest.raises(InputError, match=r"validation has a class \(owl\) that train lacks"):
        pack(source, tmp_path / "other", allow_missing_classes=True)


@pytest.mark.parametrize(
    ("source", "given", "split"),
    [
        ("train", None, "train"),
        ("my-training", None, "train"),
        ("src", None, "validation"),
        ("train", "val", "validation"),
        ("src", "Train", "train"),
        ("src", "validation-b", "validation-b"),
    ],
)
def test_class_folders_alone_are_the_split_that_is_given_or_the_source_is_called_after(
    tmp_path: Path, source: str, given: str | None, split: str
) -> None:
    made, _ = packed(put(tmp_path / source, "cat/1.png", "dog/1.png"), flat_split=given)
    assert made.samples == {split: 2}


@pytest.mark.parametrize("given", ["validatoin", "", "extra", "train-", "../train"])
def test_a_split_that_no_shard_can_be_named_after_is_refused(tmp_path: Path, given: str) -> None:
    assert "--split must be one of train" in refusal(put(tmp_path / "src", "cat/1.png"), flat_split=given)


def test_a_given_split_does_not_override_folders(tmp_path: Path) -> None:
    assert "folders of splits (train, val)" in refusal(put(tmp_path / "src", *PAIR), flat_split="test")


def test_classes_may_speak_of_trains(tmp_path: Path) -> None:
    made, _ = packed(put(tmp_path / "src", "bullet train/1.png", "steam_train/1.png", "test tube/1.png"))
    assert (made.samples, made.classes) == ({"validation": 3}, 3)


def test_unlabelled_test_images_alone_are_no_source(tmp_path: Path) -> None:
    said = refusal(put(tmp_path / "src", "test/a.png", "test/b.png"))
    assert "no image with a class, only 2 test images without a class (test/a.png, test/b.png)" in said


@pytest.mark.parametrize("name", ["train_test_split.txt", "train_list.mat", "lists/test.csv"])
def test_lists_of_splits_beside_class_folders_are_not_passed_over(tmp_path: Path, name: str) -> None:
    source = put(tmp_path / "src", "images/cat/1.png", "images/dog/1.png")
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_text("1 0\n2 1\n")
    assert name in refusal(source)
    assert packed(source, flat_split="train")[0].samples == {"train": 2}


# -- shards without _info.json -------------------------------------------------------------------------------


def shards(folder: Path, **sizes: int) -> Path:
    write_dataset(folder, sizes, shards=1)
    (folder / "_info.json").unlink()
    return folder


def test_validation_and_test_shards_stay_apart(tmp_path: Path) -> None:
    folder = shards(tmp_path / "s", val=6, test=5, Train=20)
    assert split_names("cifar10", folder) == ["train", "test", "validation", "calibration"]
    assert [len(open_split("cifar10", split, data_dir=folder)) for split in ("validation", "test")] == [6, 5]


def rename(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


STRAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "another naming": (lambda f: shutil.copy(f / "demo-val-00.tar", f / "photos.tar"), "photos.tar"),
    "a compressed shard": (
        lambda f: shutil.copy(f / "demo-val-00.tar", f / "demo-val-01.tar.gz"),
        "demo-val-01.tar.gz",
    ),
    "capital letters": (lambda f: shutil.copy(f / "demo-val-00.tar", f / "photos.TAR"), "photos.TAR"),
    "another set": (lambda f: rename(f, "demo-val-00.tar", "other-val-00.tar"), "demo, other"),
    "two spellings": (lambda f: shutil.copy(f / "demo-val-00.tar", f / "demo-dev-00.tar"), "both validation"),
}


@pytest.mark.parametrize("case", STRAY)
def test_shards_that_may_be_of_another_set_are_refused(tmp_path: Path, case: str) -> None:
    folder = shards(tmp_path / "s", val=4, train=6)
    change, says = STRAY[case]
    change(folder)
    with pytest.raises(InputError) as caught:
        open_split("cifar10", "validation", data_dir=folder)
    assert says in str(caught.value)


def test_a_gap_in_the_numbers_of_shards_is_said(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "s", {"val": 9}, shards=3)
    (folder / "_info.json").unlink()
    (folder / "demo-val-01.tar").unlink()
    with pytest.warns(UserWarning, match="lacks 1 shards of val: numbers 1"):
        assert len(open_split("cifar10", "validation", data_dir=folder)) == 6


# -- the layouts of common downloads -------------------------------------------------------------------------


def test_imagenet_with_class_folders(tmp_path: Path) -> None:
    source = put(
        tmp_path / "ILSVRC", *(f"Data/CLS-LOC/{s}/{w}/{w}_1.JPEG" for s in ("train", "val") for w in (FISH, DOG))
    )
    made, out = packed(source)
    assert made.samples == {"train": 2, "validation": 2}
    assert packed_classes(out) == {f"{FISH}/{FISH}_1": FISH, f"{DOG}/{DOG}_1": DOG}


NUMBERED = ("val/ILSVRC2012_val_00000001.JPEG", "val/ILSVRC2012_val_00000002.JPEG")


def kaggle(folder: Path) -> None:
    rows = f"ILSVRC2012_val_00000002,{DOG} 1 2 3 4 {DOG} 5 6 7 8 \nILSVRC2012_val_00000001,{FISH} 1 2 3 4 \n"
    (folder / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + rows)


def synset_labels(folder: Path) -> None:
    (folder / "imagenet_2012_validation_synset_labels.txt").write_text(f"{FISH}\n{DOG}\n")


def development_kit(folder: Path) -> None:
    synsets = np.zeros(2, dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    synsets[0], synsets[1] = (490, FISH), (3, DOG)
    (folder / "data").mkdir()
    savemat(folder / "data" / "meta.mat", {"synsets": synsets})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n3\n")


@pytest.mark.parametrize("write", [kaggle, synset_labels, development_kit])
def test_imagenets_validation_without_class_folders_takes_a_list_that_is_certain(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    source = put(tmp_path / "src", *NUMBERED)
    write(source)
    assert packed_classes(packed(source)[1]) == {
        f"{FISH}/ILSVRC2012_val_00000001": FISH,
        f"{DOG}/ILSVRC2012_val_00000002": DOG,
    }


def test_ground_truth_without_its_order_is_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "src", *NUMBERED)
    (source / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n3\n")
    assert "put meta.mat beside it" in refusal(source)


def test_a_list_that_lacks_an_image_or_disagrees_with_another_is_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "src", *NUMBERED, "val/ILSVRC2012_val_00000003.JPEG")
    kaggle(source)
    assert "ILSVRC2012_val_00000003.JPEG no class" in refusal(source)
    (source / "imagenet_2012_validation_synset_labels.txt").write_text(f"{DOG}\n{FISH}\n{DOG}\n")
    assert "different classes" in refusal(source)


@pytest.mark.parametrize("outer", [True, False])
def test_imagenets_tar_of_tars(tmp_path: Path, outer: bool) -> None:
    source = tmp_path / "ILSVRC2012_img_train"
    for synset in (FISH, DOG):
        folder = put(tmp_path / synset, f"{synset}_1.JPEG", f"{synset}_2.JPEG")
        source.mkdir(exist_ok=True)
        tarred(folder, source / f"{synset}.tar", "")
    made, out = packed(tarred(source, tmp_path / "ILSVRC2012_img_train.tar") if outer else source)
    assert (made.samples, made.classes) == ({"train": 4}, 2)
    assert packed_classes(out, "train")[f"{DOG}/{DOG}_2"] == DOG


def test_a_broken_tar_within_a_tar_is_named(tmp_path: Path) -> None:
    tarred(put(tmp_path / FISH, f"{FISH}_1.JPEG"), tmp_path / f"{FISH}.tar", "")
    content = (tmp_path / f"{FISH}.tar").read_bytes()[:900]
    with tarfile.open(tmp_path / "outer.tar", "w") as archive:
        for name, body in ((f"{FISH}.tar", content), ("zz.txt", b"x" * 4000)):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    assert "outer.tar is broken" in refusal(tmp_path / "outer.tar")


def test_tiny_imagenet(tmp_path: Path) -> None:
    source = put(
        tmp_path / "tiny",
        *(f"tiny-imagenet-200/train/{w}/images/{w}_{i}.JPEG" for w in (FISH, DOG) for i in range(2)),
        *(f"tiny-imagenet-200/{s}/images/{s}_{i}.JPEG" for s in ("val", "test") for i in range(2)),
    )
    top = source / "tiny-imagenet-200"
    (top / "val" / "val_annotations.txt").write_text(f"val_0.JPEG\t{DOG}\t0\t0\t9\t9\nval_1.JPEG\t{FISH}\t0\t0\t9\t9\n")
    (top / "wnids.txt").write_text(f"{DOG}\n{FISH}\n")
    made, out = packed(source)
    assert (made.samples, made.classes) == ({"train": 4, "validation": 2}, 2)
    assert packed_classes(out) == {f"{DOG}/val_0": DOG, f"{FISH}/val_1": FISH}
    assert packed_classes(out, "train")[f"{FISH}/images/{FISH}_1"] == FISH
    assert len(made.left_out["test images without a class"]) == 2
    (top / "val" / "val_annotations.txt").write_text(f"val_0.JPEG\t{DOG}\n")
    with pytest.raises(InputError, match=r"val_annotations\.txt gives .*val_1\.JPEG no class"):
        pack(source, tmp_path / "again", quiet=True)


def test_imagenette_as_its_archive(tmp_path: Path) -> None:
    source = put(
        tmp_path / "i", *(f"imagenette2-160/{s}/{w}/{w}_{s}.JPEG" for s in ("train", "val") for w in (FISH, DOG))
    )
    (source / "imagenette2-160" / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    made, out = packed(tarred(source / "imagenette2-160", tmp_path / "imagenette2-160.tgz", "imagenette2-160"))
    assert (made.samples, made.left_out.keys()) == ({"train": 2, "validation": 2}, {".csv files"})
    with pytest.warns(UserWarning, match="translated to their places among the 1000 of imagenet"):
        found = open_split("imagenet", "validation", data_dir=out).manifest.samples
    assert {(s.key.partition("/")[0], s.label) for s in found} == {(FISH, 0), (DOG, 217)}


def test_imagenet_v2(tmp_path: Path) -> None:
    source = put(tmp_path / "v2", *(f"imagenetv2-matched-frequency-format-val/{c}/a{c}.jpeg" for c in (0, 2, 10, 999)))
    made, out = packed(source)
    assert (made.samples, made.classes, len(made.empty)) == ({"validation": 4}, 1000, 996)
    found = open_split("imagenet", "validation", data_dir=out).manifest.samples
    assert {int(s.key.partition("/")[0]) == s.label for s in found} == {True}


def test_cifar_as_images(tmp_path: Path) -> None:
    source = put(tmp_path / "c", *(f"cifar10/{s}/{c}/0001.png" for s in ("train", "test") for c in ("airplane", "cat")))
    assert packed(source)[0].samples == {"train": 2, "validation": 2}


def test_cifar100_as_images_has_a_class_called_train(tmp_path: Path) -> None:
    source = put(tmp_path / "c", *(f"{s}/{c}/1.png" for s in ("train", "test") for c in ("road", "train", "whale")))
    assert packed_classes(packed(source)[1]) == {f"{c}/1": c for c in ("road", "train", "whale")}


def test_food_101(tmp_path: Path) -> None:
    source = put(tmp_path / "f", *(f"food-101/images/{c}/{i}.jpg" for c in ("apple_pie", "waffles") for i in range(3)))
    (source / "food-101" / "meta").mkdir()
    (source / "food-101" / "meta" / "train.txt").write_text("apple_pie/0\nwaffles/1\n")
    (source / "food-101" / "meta" / "test.txt").write_text("apple_pie/2\nwaffles/0\n")
    made, out = packed(source)
    assert made.samples == {"train": 2, "validation": 2}
    assert packed_classes(out) == {"apple_pie/2": "apple_pie", "waffles/0": "waffles"}
    assert len(made.left_out["images that no list names"]) == 2
    (source / "food-101" / "meta" / "test.txt").write_text("apple_pie/7\nwaffles/0\n")
    with pytest.raises(InputError, match=r"test\.txt line 1 names 'apple_pie/7', which is not among"):
        pack(source, tmp_path / "again", quiet=True)


def test_oxford_pets_keep_their_official_order(tmp_path: Path) -> None:
    source = put(tmp_path / "p", *(f"images/{c}_{i}.jpg" for c in ("Abyssinian", "beagle", "Bengal") for i in (1, 2)))
    (source / "annotations").mkdir()
    breeds = {"Abyssinian": 1, "beagle": 5, "Bengal": 6}
    for name, i in (("trainval.txt", 1), ("test.txt", 2)):
        rows = "".join(f"{breed}_{i} {number} 1 1\n" for breed, number in breeds.items())
        (source / "annotations" / name).write_text("# comment\n" + rows)
    made, out = packed(source)
    assert made.samples == {"train": 3, "validation": 3}
    assert (out / "classnames.txt").read_text().split() == ["Abyssinian", "beagle", "Bengal"]
    assert packed_classes(out)["beagle/beagle_2"] == "beagle"


def test_oxford_pets_as_class_folders(tmp_path: Path) -> None:
    made, out = packed(put(tmp_path / "p", *(f"images/{c}/{c}_1.jpg" for c in ("Abyssinian", "Bengal"))))
    assert (made.samples, made.classes) == ({"validation": 2}, 2)
    assert packed_classes(out)["Bengal/Bengal_1"] == "Bengal"


def test_shards_are_not_packed_again(tmp_path: Path) -> None:
    source = put(tmp_path / "src", "a.png", "b.png")
    (source / "a.cls").write_text("1")
    assert "a.cls, a member of a WebDataset shard" in refusal(source)


def test_archives_within_are_named(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.zip").write_bytes(picture(0))
    shutil.move(tmp_path / "src" / "train.zip", tmp_path / "src" / "val.7z")
    (tmp_path / "src" / "val.7z").write_bytes(b"7z")
    assert "archives (val.7z)" in refusal(tmp_path / "src")
