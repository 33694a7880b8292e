"""A label means one class everywhere: numbers are labels, and other names are sorted."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_helpers import packed_classes, packed_labels, picture, put
from hypothesis import given
from hypothesis import strategies as st

from dynvit.data.class_order import MAX_CLASSES, order_classes, whole_number
from dynvit.data.packing import pack
from dynvit.data.scan import scan_shard
from dynvit.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


def packed(source: Path) -> Path:
    pack(source, source.parent / "out", quiet=True)
    return source.parent / "out"


def refusal(source: Path) -> str:
    with pytest.raises(InputError) as caught:
        packed(source)
    assert not (source.parent / "out").exists()
    assert len(str(caught.value)) < 500
    return str(caught.value)


# -- the order of classes ------------------------------------------------------------------------------------


@given(
    st.sets(st.integers(0, MAX_CLASSES - 1), min_size=1, max_size=30), st.sampled_from(["{}", "{:05}", "{}.0", "+{}"])
)
def test_numbers_are_labels_however_they_are_written(numbers: set[int], form: str) -> None:
    order = order_classes({form.format(number): "here" for number in numbers})
    assert {form.format(number): number for number in numbers} == order.labels
    assert order.names == tuple(map(str, range(max(numbers) + 1)))


@given(st.sets(st.text("abcxyz _-", min_size=1, max_size=9).filter(lambda t: t.strip() == t), min_size=1, max_size=20))
def test_other_names_are_sorted(names: set[str]) -> None:
    shuffled = random.Random(0).sample(sorted(names), len(names))
    assert order_classes(dict.fromkeys(shuffled, "here")).names == tuple(sorted(names))


@pytest.mark.parametrize("folders", [range(12), (0, 1, 2, 4, 10), (207, 417, 985), (3,)])
@pytest.mark.parametrize("form", ["{}", "{:03}"])
def test_class_folders_of_numbers_are_their_numbers(tmp_path: Path, folders: tuple[int, ...], form: str) -> None:
    out = packed(
        put(tmp_path / "s", *(f"{split}/{form.format(c)}/a.png" for c in folders for split in ("train", "val")))
    )
    assert packed_labels(out) == {f"{form.format(c)}/a": c for c in folders}
    assert packed_classes(out) == {f"{form.format(c)}/a": form.format(c) for c in folders}


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (("0", "1", "other"), ("'other' is no number", "'0'")),
        (("1", "01"), ("'1'", "'01'", "one way")),
        (("0", "-1"), ("must be whole", "'-1'")),
        (("0.5", "1.0"), ("must be whole", "'0.5'")),
        (("1", "99999999999"), ("0 to 99,999", "'99999999999'")),
        (("1e3", "2"), ("'1e3'",)),
        (("cat", "nan"), ("no class is given", "'nan'")),
        (("cat", "a\nb"), ("one line", "a\\nb")),
        (("cat", "\u202eb"), ("printable",)),
        (("cat", "cat "), ("must not begin or end with a blank", "'cat '")),
    ],
)
def test_folders_whose_order_is_in_doubt_are_refused(
    tmp_path: Path, folders: tuple[str, ...], says: tuple[str, ...]
) -> None:
    said = refusal(put(tmp_path / "s", *(f"{name}/a.png" for name in folders)))
    for part in says:
        assert part in said


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e2", "٣", "²", "1_0", "0x1", "1,0", "9" * 20, "inf", " 3"])
def test_what_may_be_another_number_is_none(text: str) -> None:
    assert whole_number(text) is None


# -- tables --------------------------------------------------------------------------------------------------


def table(folder: Path, rows: list[str], head: str = "file,label", encoding: str = "utf-8") -> Path:
    put(folder / "images", *(f"{i}.png" for i in range(12)))
    (folder / "labels.csv").write_bytes("\n".join([head, *rows, ""]).encode(encoding))
    return folder


@pytest.mark.parametrize("form", ["{}", "{}.0", "{:02}", "{}.", '"{}"'])
def test_numbers_in_a_table_stay_numbers(tmp_path: Path, form: str) -> None:
    out = packed(table(tmp_path / "s", [f"{i}.png,{form.format(i)}" for i in range(12)]))
    assert packed_labels(out) == {str(i): i for i in range(12)}


TEN = [f"{i}.png,{i}" for i in range(10)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("10.png,", "line 12 gives 10.png no label"),
        ("10.png", "line 12 gives 10.png no label"),
        ("10.png,-1", "line 12: a class that is a number must be whole, from 0"),
        ("10.png,3.5", "line 12: a class that is a number must be whole"),
        ("10.png,1e3", "line 12: a class that is a number must be whole"),
        ("10.png,cat", "line 12: class 'cat' is no number, and '0'"),
        ("10.png,nan", "line 12: no class is given"),
        ("10.png,True", "line 12: class 'True' is no number"),
        ("10.png,99999999999", "line 12: a class that is a number must be whole, from 0 to 99,999"),
        ("10.png," + "9" * 5000, "line 12: a class name must have at most 255 characters"),
        ("10.png," + "a" * 300, "line 12: a class name must have at most 255 characters, got 300"),
        ("a" * 200_000 + ",1", "labels.csv line 12 is not CSV"),
        ("b" * 9000 + ".png,1", "line 12 names"),
        ("10.png,1,2", "line 12 has 3 cells"),
        ("9.png,9", "line 12: images/9.png is in labels.csv line 11 already"),
        ("images/9.png,9", "line 12: images/9.png is in labels.csv line 11 already"),
        ('10.png,"1', "line 12 is not CSV"),
        ("../s/images/10.png,1", "which is not among the files"),
    ],
)
def test_a_row_that_gives_no_certain_class_is_named(tmp_path: Path, row: str, says: str) -> None:
    assert says in refusal(table(tmp_path / "s", [*TEN, row]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_table_of_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    assert "must be UTF-8" in refusal(table(tmp_path / "s", TEN, encoding=encoding))


def test_rows_after_blank_lines_and_long_cells_are_named_by_their_line(tmp_path: Path) -> None:
    assert "line 6: class 'x'" in refusal(table(tmp_path / "s", ['0.png,"1"', "", '"1.png","2"', "", "2.png,x"]))


@pytest.mark.parametrize("value", ["Train", "TRAINING", "trn"])
def test_a_column_of_splits_is_read_like_a_folder(tmp_path: Path, value: str) -> None:
    out = packed(table(tmp_path / "s", [f"0.png,cat,{value}", "1.png,cat,Dev"], head="File, Label ,Split"))
    assert (packed_classes(out), packed_classes(out, "train")) == ({"1": "cat"}, {"0": "cat"})


@pytest.mark.parametrize(
    ("head", "rows", "says"),
    [
        (
            "file,label,split",
            ["0.png,a,train", "1.png,a,extra"],
            "line 3: split 'extra' names no split: they are train",
        ),
        ("file,label,split", ["0.png,a,train", "1.png,a,"], "line 3: split '' names no split"),
        ("file,label,set", ["0.png,a,train", "1.png,a,3"], "line 3: set '3' names no split"),
        ("file,label,is_valid", ["0.png,a,True"], "has a column is_valid: write a column split instead"),
        ("file,label,label", ["0.png,a,b"], "names a column twice"),
        ("file,label,split", ["0.png,a,train", "1.png,b,val"], "validation has a class (b) that train lacks"),
        ("name,label", ["0.png,a"], "has no column file or filename or image or path, only name, label"),
    ],
)
def test_a_table_that_leaves_splits_in_doubt_is_refused(tmp_path: Path, head: str, rows: list[str], says: str) -> None:
    assert says in refusal(table(tmp_path / "s", rows, head=head))


def test_a_given_split_is_that_of_a_table_without_one(tmp_path: Path) -> None:
    source = table(tmp_path / "s", ["0.png,cat"])
    assert pack(source, tmp_path / "a", flat_split="Train", quiet=True).samples == {"train": 1}
    table(source, ["0.png,cat,val"], head="file,label,split")
    with pytest.raises(InputError, match="has a column split of splits: --split is for tables without one"):
        pack(source, tmp_path / "b", flat_split="train", quiet=True)
    with pytest.raises(InputError, match="CIFAR's pickles say which split"):
        pack(cifar(tmp_path / "c", [0, 1]), tmp_path / "b", flat_split="train", quiet=True)


def test_files_in_folders_of_splits_are_of_those_splits(tmp_path: Path) -> None:
    source = put(tmp_path / "s", "images/Train/0.png", "images/Test/0.png", "images/1.png")
    (source / "labels.csv").write_text("file,label\nTrain/0.png,cat\nTest/0.png,cat\n")
    out = packed(source)
    assert (packed_classes(out), packed_classes(out, "train")) == ({"Test/0": "cat"}, {"Train/0": "cat"})
    (source / "labels.csv").write_text("file,label\nTrain/0.png,cat\n1.png,cat\n")
    with pytest.raises(InputError, match=r"labels\.csv line 3: 1\.png is in no folder of a split"):
        pack(source, tmp_path / "more", quiet=True)


def test_several_tables_must_be_of_splits_and_agree(tmp_path: Path) -> None:
    source = put(tmp_path / "s", *(f"{s}/images/{s}.png" for s in ("train", "val")))
    for split, label in (("train", "3"), ("val", "cat")):
        (source / split / "labels.csv").write_text(f"file,label\n{split}.png,{label}\n")
    assert "val/labels.csv line 2: class 'cat' is no number, and '3' (train/labels.csv line 2)" in refusal(source)
    (source / "val").rename(source / "more")
    assert "more/labels.csv is in no folder of a split" in refusal(source)


# -- pickles -------------------------------------------------------------------------------------------------


def cifar(folder: Path, labels: object, names: object = (b"a", b"b")) -> Path:
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": labels}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    return folder


def nested() -> list[Any]:
    """Small as a pickle, without end as text."""
    laughs: list[Any] = ["ha"] * 10
    for _ in range(40):
        laughs = [laughs] * 10
    return laughs


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["x", "y"], "data_batch_1, labels, row 0: a label must be a whole number, 0 to 1, got 'x'"),
        ([0, 0.5], "row 1: a label must be a whole number, 0 to 1, got 0.5"),
        ([0, 1.0], "row 1: a label must be a whole number"),
        ([0, None], "row 1: a label must be a whole number, 0 to 1, got NoneType"),
        ([0, True], "got bool"),
        ([0, -1], "got -1"),
        ([0, 2], "got 2"),
        ([0, 10**5000], "got a huge number"),
        (None, "must be a list of labels, got NoneType"),
        ({0: 1}, "must be a list of labels, got dict"),
        (b"\x00\x01", "must be a list of labels, got bytes"),
        (np.array([[0, 1]]), "must be a list of labels, got ndarray"),
        (np.array([0.0, 1.0]), "row 0: a label must be a whole number"),
        ([0], "no uint8 array (N, 3072)"),
        (nested(), "row 0: a label must be a whole number, 0 to 1, got list"),
    ],
)
def test_pickled_labels_are_whole_numbers(tmp_path: Path, labels: object, says: str) -> None:
    assert says in refusal(cifar(tmp_path / "s", labels))


def test_pickled_labels_may_be_an_array(tmp_path: Path) -> None:
    assert set(packed_labels(packed(cifar(tmp_path / "s", np.array([1, 0])))).values()) == {0, 1}


@pytest.mark.parametrize("names", [None, [1, 2], ["a", "a"], ["a", "b\nc"], ["a", ""], ["a", "../b"], [b"\xff", b"a"]])
def test_pickled_names_are_names(tmp_path: Path, names: object) -> None:
    assert "batches.meta, label_names" in refusal(cifar(tmp_path / "s", [0, 1], names))


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    folder = cifar(tmp_path / "s", [0, 1])
    (folder / "test_batch").unlink()
    assert "CIFAR's file test_batch is missing" in refusal(folder)


# -- labels in shards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["3.7", "true", "null5", '"x"', "1_0", "[3]", "NaN"])
@pytest.mark.parametrize("kind", ["cls", "json"])
def test_a_label_in_a_shard_is_a_whole_number(tmp_path: Path, text: str, kind: str) -> None:
    import io
    import tarfile

    content = text if kind == "cls" else f'{{"label": {text}}}'
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, data in (("a.png", picture(0)), (f"a.{kind}", content.encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with pytest.raises(InputError, match=rf"key 'a': \.{kind} holds no class index"):
        scan_shard(tmp_path / "s.tar")
