"""The names of classes are compared where shards are opened: translated where that is certain, else refused."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from data_helpers import picture, write_dataset, write_shard
from hypothesis import given
from hypothesis import strategies as st

from dynvit.data import DatasetSpec, datasets, open_split
from dynvit.data.class_match import check_same_classes, label_translation
from dynvit.errors import InputError

CIFAR10 = datasets.get("cifar10")
IMAGENET = datasets.get("imagenet")
IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


def opened(folder: Path, names: list[str], dataset: str | DatasetSpec) -> dict[str, int]:
    """A label for each key ``k<label>`` of shards with these class names, as the data set opens them."""
    folder.mkdir(exist_ok=True)
    write_shard(folder / "x-validation-0.tar", [(f"k{i}", i, picture(i)) for i in range(len(names))])
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    found = open_split(dataset, "validation", data_dir=folder, quiet=True).manifest.samples
    return {sample.key: sample.label for sample in found}


def test_names_in_another_order_are_translated_and_those_in_order_stay_as_they_are(tmp_path: Path) -> None:
    names = list(CIFAR10.class_names)
    assert opened(tmp_path / "a", names, "cifar10") == {f"k{i}": i for i in range(10)}
    random.Random(1).shuffle(names)
    assert opened(tmp_path / "b", names, "cifar10") == {
        f"k{i}": CIFAR10.class_names.index(n) for i, n in enumerate(names)
    }


def test_translated_splits_stay_apart_and_keep_their_keys(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "s", {"train": 40, "validation": 10})
    plain = {name: open_split("cifar10", name, data_dir=folder).manifest for name in ("train", "calibration")}
    (folder / "classnames.txt").write_text("".join(f"{n}\n" for n in CIFAR10.class_names))
    for name, manifest in plain.items():
        assert open_split("cifar10", name, data_dir=folder).manifest.sha256 == manifest.sha256
    (folder / "classnames.txt").write_text("".join(f"{n}\n" for n in reversed(CIFAR10.class_names)))
    for name, manifest in plain.items():
        turned = open_split("cifar10", name, data_dir=folder, quiet=True).manifest
        assert [s.key for s in turned.samples] == [s.key for s in manifest.samples]
        assert [9 - s.label for s in turned.samples] == [s.label for s in manifest.samples]


@pytest.mark.parametrize(
    ("names", "dataset", "labels"),
    [
        (["truck", "plane"], "cifar10", [9, 0]),
        (["Car", "aeroplane", "DOG"], "cifar10", [1, 0, 5]),
        (["aquarium fish", "Sweet-Peppers", "Maple", "lawn mower"], "cifar100", [1, 83, 47, 41]),
        (["3", "1"], "cifar10", [3, 1]),
        (list(IMAGENETTE), "imagenet", [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]),
        (list(IMAGENETTE.values()), "imagenet", [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]),
        (["n03126707\tcrane", "n02012849 crane"], "imagenet", [517, 134]),
        (["Tinca tinca", "tench, Tinca tinca"][:1], "imagenet", [0]),
    ],
)
def test_some_of_the_classes_are_taken_to_their_places(
    tmp_path: Path, names: list[str], dataset: str, labels: list[int]
) -> None:
    assert opened(tmp_path / "s", names, dataset) == {f"k{i}": label for i, label in enumerate(labels)}


@pytest.mark.parametrize("own", [tuple(IMAGENETTE), tuple(IMAGENETTE.values())])
def test_a_registered_subset_knows_its_classes_by_synset_and_by_word(tmp_path: Path, own: tuple[str, ...]) -> None:
    spec = DatasetSpec("imagenette", 10, 224, "ten classes", own)
    for number, names in enumerate(
        (list(IMAGENETTE), list(IMAGENETTE.values()), [n.upper() for n in IMAGENETTE.values()])
    ):
        assert opened(tmp_path / f"{number}", names, spec) == {f"k{i}": i for i in range(10)}
    assert opened(tmp_path / "r", list(IMAGENETTE)[::-1], spec) == {f"k{i}": 9 - i for i in range(10)}


@pytest.mark.parametrize(
    ("names", "dataset", "says"),
    [
        (["airplane", "automobile", "bird", "cat", "deer", "dog", "frogs"], "cifar10", ("'frogs' is none", "class 6")),
        (
            ["plane", "airplane"],
            "cifar10",
            ("'plane' and 'airplane' are one class", "class 1", "'automobile' in cifar10"),
        ),
        ([*CIFAR10.class_names, "owl"], "cifar10", ("'owl' is none", "class 10, 'owl' there and nothing in cifar10")),
        (["crane"], "imagenet", ("'crane' may be any of 2 classes", "class 0")),
        (["n99999999"], "imagenet", ("'n99999999' is none of imagenet's", "'n01440764' in imagenet")),
        (["0", "10"], "cifar10", ("names class 10", "0 to 9")),
        (["cat", "dog"], "digits2", ("'cat' is none",)),
    ],
)
def test_other_classes_are_refused_with_the_first_difference(
    tmp_path: Path, names: list[str], dataset: str, says: tuple[str, ...]
) -> None:
    spec = dataclasses.replace(datasets.get("digits"), name="digits2", embedded=None)
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "s", names, spec if dataset == "digits2" else dataset)
    for part in ("classnames.txt", *says):
        assert part in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "s", {"validation": 10})
    (folder / "classnames.txt").write_text("truck\ncat\n")
    with pytest.raises(InputError, match=r"label 2 has no name among the 2 of classnames\.txt"):
        open_split("cifar10", "validation", data_dir=folder, quiet=True)


def test_the_thousand_by_synset_are_the_thousand(tmp_path: Path) -> None:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    synsets, words = info.label_names(), [info.index_to_description(i) for i in range(1000)]
    assert label_translation(synsets, IMAGENET, "x") is None
    assert label_translation(words, IMAGENET, "x") is None
    assert label_translation([f"{s}\t{w}" for s, w in zip(synsets, words, strict=True)], IMAGENET, "x") is None
    assert label_translation([str(i) for i in range(1000)], IMAGENET, "x") is None
    swapped = [synsets[1], synsets[0], *synsets[2:]]
    assert label_translation(swapped, IMAGENET, "x") == {0: 1, 1: 0} | {i: i for i in range(2, 1000)}


@given(st.permutations(range(10)), st.integers(1, 10))
def test_a_translation_gives_each_name_its_own_label(order: list[int], kept: int) -> None:
    names = [CIFAR10.class_names[i] for i in order[:kept]]
    translation = label_translation(names, CIFAR10, "x") or {i: i for i in range(kept)}
    assert [CIFAR10.class_names[translation[i]] for i in range(kept)] == names


def test_a_model_is_of_the_same_classes_in_the_same_order() -> None:
    names = CIFAR10.class_names
    check_same_classes((), CIFAR10, "the model")
    check_same_classes(("plane", "car", *names[2:]), CIFAR10, "the model")
    check_same_classes(tuple(IMAGENETTE), DatasetSpec("i", 10, 224, "", tuple(IMAGENETTE.values())), "the model")
    for other in (tuple("0123456789"), names[::-1], names[:9], (*names, "owl"), (*names[:9], "lorry")):
        with pytest.raises(InputError, match="cifar10 has other classes than the model"):
            check_same_classes(other, CIFAR10, "the model")
    with pytest.raises(InputError, match="first difference is class 0, 'airplane' there and '0' in digits"):
        check_same_classes(names, datasets.get("digits"), "the model")
