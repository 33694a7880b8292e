"""What is read from shards is all that is there, named, and said in one line where it is not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_helpers import SHARED, needs_imagenet, picture, write_dataset, write_shard

from dynvit.data import Manifest, open_split, split_names
from dynvit.data.fetching import fetch
from dynvit.data.locate import locate
from dynvit.data.manifest import SplitInfo
from dynvit.data.scan import scan_shard
from dynvit.data.space import TURN
from dynvit.data.splits import calibration_shards
from dynvit.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data" / "cifar10", {"train": 40, "validation": 10})


def keys(split: str, **options: object) -> list[str]:
    return [s.key for s in open_split("cifar10", split, **options).manifest.samples]  # type: ignore[arg-type]


@needs_imagenet
@pytest.mark.parametrize(("split", "count"), [("validation", 1300), ("validation-b", 200)])
def test_every_imagenet_sample_is_counted_and_decodes(split: str, count: int) -> None:
    source = open_split("imagenet", split, data_dir=SHARED / "imagenet")
    assert len(source) == source.expected == count
    assert len({sample.key for sample in source.manifest.samples}) == count
    assert all(source.read(i).image.mode == "RGB" for i in range(0, count, 13))


@needs_imagenet
def test_imagenet_train_and_calibration_make_up_the_thousand() -> None:
    train, calibration = (open_split("imagenet", s, data_dir=SHARED) for s in ("train", "calibration"))
    assert (len(train), len(calibration)) == (900, 100)
    assert {s.label for source in (train, calibration) for s in source.manifest.samples} == set(range(1000))


@pytest.mark.parametrize("size", [None, 1, 17])
def test_calibration_is_held_out_of_train(demo: Path, size: int | None) -> None:
    train, held = (set(keys(s, data_dir=demo, calibration=size)) for s in ("train", "calibration"))
    assert not train & held
    assert len(train | held) == 40
    assert len(held) == (size or 4)


def test_the_seed_alone_draws_calibration(demo: Path) -> None:
    first, again, other = (keys("calibration", data_dir=demo, seed=seed, calibration=15) for seed in (0, 0, 1))
    assert first == again != other


def test_digits_are_split_by_class_without_overlap() -> None:
    splits = {name: open_split("digits", name) for name in split_names("digits")}
    members = [sample.key for source in splits.values() for sample in source.manifest.samples]
    assert len(members) == len(set(members)) == 1797
    per_class = [sum(s.label == c for s in splits["validation"].manifest.samples) for c in range(10)]
    assert min(per_class) >= 34
    assert max(per_class) <= 37


def test_calibration_of_many_shards_reads_few() -> None:
    train = SplitInfo("train", tuple(f"t-{i}.tar" for i in range(1024)), (1251,) * 1024)
    chosen = calibration_shards(train, 5000, seed=0)
    assert len(chosen) == 16
    assert chosen == calibration_shards(train, 5000, seed=0) != calibration_shards(train, 5000, seed=1)


def test_a_limit_is_a_fixed_shuffle_whose_prefix_stays(demo: Path) -> None:
    three, six = keys("validation", data_dir=demo, limit=3), keys("validation", data_dir=demo, limit=6)
    assert three == six[:3]
    assert three != keys("validation", data_dir=demo)[:3]


def test_a_dataset_is_found_beside_others_in_dynvit_data(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_DATA", str(demo.parent))
    assert keys("validation") == keys("validation", data_dir=demo) == keys("validation", data_dir=demo.parent)


def test_shards_without_info_are_sorted_into_splits_by_name(demo: Path) -> None:
    (demo / "_info.json").unlink()
    assert split_names("cifar10", demo) == ["train", "validation", "calibration"]
    assert len(keys("train", data_dir=demo)) == 36


def test_test_beside_validation_is_a_split_of_its_own(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, {"val": 6, "test": 4})
    (folder / "_info.json").unlink()
    assert split_names("cifar10", folder) == ["test", "validation"]
    assert [len(keys(split, data_dir=folder)) for split in ("validation", "test")] == [6, 4]


def test_the_manifest_is_of_the_images_not_of_the_shards(tmp_path: Path) -> None:
    one, four = (write_dataset(tmp_path / str(n), {"validation": 12}, shards=n) for n in (1, 4))
    first, second = (open_split("cifar10", "validation", data_dir=d).manifest for d in (one, four))
    assert first.sha256 == second.sha256
    first.write(tmp_path / "m.jsonl")
    assert Manifest.read(tmp_path / "m.jsonl") == first


def test_a_scan_is_remembered_until_the_shard_changes(demo: Path, cache: Path) -> None:
    shard = demo / "demo-train-00.tar"
    assert scan_shard(shard) == scan_shard(shard)
    assert len(list((cache / "manifests").iterdir())) == 1
    write_shard(shard, [("new", 1, picture(0))])
    assert [s.key for s in scan_shard(shard)] == ["new"]


def test_a_scan_is_not_believed_where_only_the_times_were_kept(demo: Path) -> None:
    shard = demo / "demo-train-00.tar"
    before, then = scan_shard(shard), shard.stat()
    content = bytearray(shard.read_bytes())
    content[before[0].offset + before[0].size - 20] ^= 1
    shard.write_bytes(content)
    os.utime(shard, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert scan_shard(shard)[0].sha256 != before[0].sha256


def test_a_damaged_scan_is_made_again(demo: Path, cache: Path) -> None:
    whole = scan_shard(demo / "demo-train-00.tar")
    (kept,) = (cache / "manifests").iterdir()
    for damage in (b"", b"{}\n", b"[3]\n", b"\xff\xfe", b'{"shard": 3}'):
        kept.write_bytes(damage)
        assert scan_shard(demo / "demo-train-00.tar") == whole


# -- faults --------------------------------------------------------------------------------------------------


def cut(shard: Path, keep: float) -> None:
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep)])


def test_a_truncated_shard_is_named_with_its_last_good_key(demo: Path) -> None:
    cut(demo / "demo-validation-01.tar", 0.25)
    with pytest.raises(InputError, match=r"demo-validation-01\.tar is truncated.*last good key is 'validation000\d'"):
        open_split("cifar10", "validation", data_dir=demo)


def test_skipping_counts_what_a_truncated_shard_lost(demo: Path) -> None:
    cut(demo / "demo-validation-01.tar", 0.25)
    source = open_split("cifar10", "validation", data_dir=demo, on_bad_sample="skip")
    assert source.expected == 10 == len(source) + source.lost
    assert source.lost > 0


def test_a_shard_with_fewer_samples_than_info_says_is_named(demo: Path) -> None:
    write_shard(demo / "demo-validation-00.tar", [("only", 1, picture(0))])
    with pytest.raises(InputError, match=r"demo-validation-00\.tar holds 1 samples.*'only'.*_info.json says 5"):
        open_split("cifar10", "validation", data_dir=demo)


def test_an_undecodable_image_is_named_by_shard_and_key(tmp_path: Path) -> None:
    write_shard(tmp_path / "demo-validation-00.tar", [("good", 1, picture(0)), ("broken", 2, picture(1)[:60])])
    source = open_split("cifar10", "validation", data_dir=tmp_path)
    assert source.read(0).id == "good"
    with pytest.raises(InputError, match=r"demo-validation-00\.tar, key 'broken' cannot be decoded"):
        source.read(1)


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_named_with_the_range(tmp_path: Path, label: int) -> None:
    write_shard(tmp_path / "demo-validation-00.tar", [("odd", label, picture(0))])
    with pytest.raises(InputError, match=rf"demo-validation-00\.tar, key 'odd': the label must be 0 to 9, got {label}"):
        open_split("cifar10", "validation", data_dir=tmp_path)


def test_a_key_that_occurs_twice_is_named(tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path / f"demo-validation-{number:02d}.tar", [("same", 1, picture(number))])
    with pytest.raises(InputError, match=r"'same' is in demo-validation-00\.tar and again in demo-validation-01\.tar"):
        open_split("cifar10", "validation", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("imagenet1", "validation", "did you mean 'imagenet'"),
        ("cifar10", "validatoin", "did you mean 'validation'"),
        ("digits", "test", "unknown split of digits 'test'"),
    ],
)
def test_unknown_names_come_with_the_nearest(demo: Path, name: str, split: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_split(name, split, data_dir=None if name == "digits" else demo)


def test_missing_shards_come_with_the_two_ways_to_get_them(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = r"dynvit data pack SRC DST.*hf://datasets/timm/imagenet-1k-wds"
    monkeypatch.delenv("DYNVIT_DATA", raising=False)
    with pytest.raises(InputError, match=f"DYNVIT_DATA.*{ways}"):
        locate("imagenet")
    with pytest.raises(InputError, match=f"no shards of imagenet.*{ways}"):
        locate("imagenet", demo.parent)
    (demo / "demo-validation-01.tar").unlink()
    with pytest.raises(InputError, match=f"demo-validation-01.tar is missing.*{ways}"):
        open_split("cifar10", "validation", data_dir=demo)


# -- remote --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(demo: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(demo)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_shards_behind_a_url_are_fetched_once(demo: Path, server: str) -> None:
    local = keys("validation", data_dir=demo)
    assert keys("validation", data_dir=server) == local
    for shard in demo.iterdir():
        shard.unlink()
    assert keys("validation", data_dir=server) == local
    assert keys("validation", data_dir=f"{server}/demo-validation-{{00..01}}.tar") == local


def test_a_pipe_is_a_source_like_any(demo: Path) -> None:
    assert keys("validation", data_dir=f"pipe:cat {demo}/demo-validation-{{00..01}}.tar") == keys(
        "validation", data_dir=demo
    )


@pytest.mark.parametrize("url", ["{server}/nothing-validation-00.tar", "pipe:exit 3 #/a-validation-00.tar"])
def test_what_cannot_be_fetched_leaves_nothing(server: str, cache: Path, url: str) -> None:
    with pytest.raises(InputError, match="cannot fetch"):
        fetch(url.format(server=server))
    assert not [path for path in cache.rglob("*") if path.is_file() and path.name != TURN]


def test_a_hub_url_names_repository_revision_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}
    write_shard(tmp_path / "b.tar", [("a", 0, picture(0))])

    def download(repo: str, path: str, **options: object) -> str:
        asked.update(options, repo=repo, path=path)
        return str(tmp_path / "b.tar")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert fetch("hf://datasets/timm/imagenet-1k-wds@main/a/b.tar") == tmp_path / "b.tar"
    assert asked == {"repo": "timm/imagenet-1k-wds", "path": "a/b.tar", "repo_type": "dataset", "revision": "main"}
    with pytest.raises(InputError, match="is not hf://datasets"):
        fetch("hf://timm")


def test_reading_needs_no_torch() -> None:
    code = "import sys, dynvit.data as d; d.open_split('digits', 'train'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
