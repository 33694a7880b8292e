"""Splits are told by one rule, in folders and in shards, and doubt is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from data_helpers import packed_classes, put, write_dataset
from hypothesis import given
from hypothesis import strategies as st
from packing_helpers import packed, refusal

from dynvit.data import open_split, split_names
from dynvit.data.packing import pack
from dynvit.data.split_names import SPELLINGS, find_split, shard_named, split_named
from dynvit.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


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
