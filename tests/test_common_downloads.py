"""The layouts of common downloads are packed as they come."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import packed_classes, picture, put
from packing_helpers import packed, refusal, tarred
from scipy.io import savemat

from dynvit.data import open_split
from dynvit.data.packing import pack
from dynvit.errors import InputError

FISH, DOG = "n01440764", "n02102040"  # tench, English springer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


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
