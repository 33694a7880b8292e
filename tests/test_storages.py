"""Shards in storages that fsspec knows, one of which misbehaves: whole and right in the end, or refused in one line."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from data_helpers import picture, write_dataset, write_shard, write_tree
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

import dynvit.downloads.trying
from dynvit.data import open_split
from dynvit.data.checking import check_folder
from dynvit.data.fetching import held
from dynvit.data.locate import is_remote
from dynvit.data.manifest import INFO, SplitInfo, info_text, read_info
from dynvit.data.packing import pack
from dynvit.errors import InputError
from dynvit.files import sha256_of

NAME = "x-validation-00.tar"
URL = f"ill://bucket/{NAME}"


@dataclass
class Case:
    """How the storage behaves: what it says of a file, and what each opening of it gives."""

    info: dict[str, Any] | Exception = field(default_factory=dict)
    reads: list[Callable[[int], Any]] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)


class Ill(AbstractFileSystem):
    """A storage that behaves as a test says; the last way of reading is taken again and again."""

    protocol = "ill"
    cachable = False
    case: Case

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What is said of a file."""
        if isinstance(self.case.info, Exception):
            raise self.case.info
        return {"name": path, "type": "file", **self.case.info}

    def _open(self, path: str, *_: Any, **__: Any) -> Any:
        return Opened(self.case)


class Opened(io.RawIOBase):
    """An opened file of that storage."""

    def __init__(self, case: Case) -> None:
        self._case, self._place = case, 0
        self._way = case.reads.pop(0) if len(case.reads) > 1 else case.reads[0]

    def seek(self, place: int, whence: int = 0) -> int:
        """Where reading begins."""
        self._place = place
        self._case.opened.append(place)
        return place

    def read(self, size: int = -1) -> bytes:
        """Some bytes, or an error."""
        found: bytes = self._way(self._place)[:size]
        self._place += len(found)
        return found


@pytest.fixture
def ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dynvit.downloads.trying, "PAUSE", 0.0)
    fsspec.register_implementation("ill", Ill, clobber=True)
    Ill.case = Case()
    return Ill.case


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "a.tar"
    write_shard(path, [(str(number), 0, picture(number, 40)) for number in range(9)])
    return path.read_bytes()


def kept_shards(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".tar", ".tmp")]


def whole(body: bytes) -> Callable[[int], bytes]:
    return lambda place: body[place:]


def cut(body: bytes, after: int, error: Exception | None = None) -> Callable[[int], bytes]:
    """No more than so many bytes an opening, then an end or an error."""
    begun: list[int] = []

    def read(place: int) -> bytes:
        begun.append(place)
        rest = body[place : begun[0] + after]
        if not rest and error is not None:
            raise error
        if not rest:
            begun.clear()
        return rest

    return read


def say(error: Exception) -> Callable[[int], bytes]:
    def read(_: int) -> bytes:
        raise error

    return read


def read_all(sha256: str = "") -> bytes:
    with held(URL, sha256) as file:
        return file.path.read_bytes()


REFUSED: dict[str, tuple[Callable[[bytes], Case], str]] = {
    "not there": (lambda _: Case(FileNotFoundError("bucket/x")), "there is no such file"),
    "not allowed": (lambda _: Case(PermissionError("Forbidden")), "permission is denied: Forbidden"),
    "a folder": (lambda _: Case({"type": "directory"}, [whole(b"")]), "it is a folder"),
    "no credentials": (lambda _: Case(RuntimeError("Unable to locate credentials")), "Unable to locate credentials"),
    "gone while it is read": (lambda s: Case({"size": len(s)}, [say(FileNotFoundError("x"))]), "no such file"),
    "always cut": (lambda s: Case({"size": len(s)}, [cut(s, 700)]), "broke off after 700 of"),
    "always broken off": (lambda s: Case({"size": len(s)}, [cut(s, 700, ConnectionError("reset"))]), "reset"),
    "longer than promised": (lambda s: Case({"size": len(s) - 512}, [whole(s)]), "gave .* and promised"),
    "endless": (lambda s: Case({"size": len(s)}, [lambda _: b"x" * 70_000]), "gave .* and promised"),
    "empty": (lambda _: Case({"size": 0}, [whole(b"")]), "empty"),
    "no tar": (lambda _: Case({}, [whole(b'{"error": "expired"}')]), "is no tar"),
    "a page": (lambda _: Case({}, [whole(b"<!doctype html>log in")]), "is a web page"),
    "a cut tar of no known length": (lambda s: Case({}, [whole(s[:1536])]), "tar without its end"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_shard_is_refused_in_one_line_and_not_kept(
    ill: Case, tmp_path: Path, shard: bytes, fault: str
) -> None:
    make, reason = REFUSED[fault]
    Ill.case = make(shard)
    with pytest.raises(InputError, match=rf"cannot fetch {NAME}.* ill://bucket.*({reason})") as caught:
        read_all()
    assert "\n" not in str(caught.value)
    assert kept_shards(tmp_path) == []
    Ill.case = Case({"size": len(shard)}, [whole(shard)])
    assert read_all() == shard


@pytest.mark.parametrize("fault", [ConnectionError("reset"), OSError(5, "Input/output error"), EOFError(), None])
def test_a_storage_that_breaks_off_is_asked_again(ill: Case, shard: bytes, fault: Exception | None) -> None:
    ill.info, ill.reads = {"size": len(shard)}, [cut(shard, 700, fault), whole(shard)]
    assert read_all() == shard
    assert ill.opened == [0, 0]  # nothing says that the rest would be of the same file


@pytest.mark.parametrize("version", [{"ETag": '"a1"'}, {"etag": "a1"}, {"md5Hash": "a1"}, {"LastModified": 17}])
def test_the_rest_is_added_where_the_version_is_the_same(ill: Case, shard: bytes, version: dict[str, Any]) -> None:
    step = len(shard) // 5
    ill.info, ill.reads = {"size": len(shard), **version}, [cut(shard, step) for _ in range(9)]
    assert read_all() == shard
    assert ill.opened == [0, *(step * n for n in range(1, len(ill.opened)))]
    assert len(ill.opened) in (5, 6)


def test_a_rest_of_another_version_is_not_added(ill: Case, shard: bytes) -> None:
    old = bytes(reversed(shard))

    def changes(place: int) -> bytes:
        ill.info = {"size": len(shard), "ETag": "new"}
        return b"" if place else old[:700]

    ill.info, ill.reads = {"size": len(shard), "ETag": "old"}, [changes, whole(shard)]
    assert read_all() == shard
    assert ill.opened == [0, 0]


@pytest.mark.parametrize("where", ["asked", "read"])
def test_a_storage_that_stalls_is_given_up(
    ill: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    released = threading.Event()
    monkeypatch.setenv("DYNVIT_FETCH_SECONDS", "0.3")
    if where == "asked":
        monkeypatch.setattr(Ill, "info", lambda *_, **__: released.wait(20))
    ill.info, ill.reads = {"size": 10**6}, [lambda place: b"half" if not place else (released.wait(20), b"")[1]]
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"no answer for 0\.3 s; DYNVIT_FETCH_SECONDS"):
        read_all()
    released.set()
    assert time.monotonic() - begun < 10
    assert kept_shards(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [("nonsense://bucket/x-validation-00.tar", "Protocol not known: nonsense")]
    + [
        (f"{scheme}://bucket/x-validation-00.tar", f"Install {package} .*pip install")
        for scheme, package in (("s3", "s3fs"), ("az", "adlfs"), ("oss", "ossfs"))
    ],
)
@pytest.mark.usefixtures("ill")
def test_a_package_that_lacks_is_named(url: str, says: str) -> None:
    with pytest.raises(InputError, match=f"cannot fetch x-validation-00.tar from .*{says}"):
        held(url)


def test_any_protocol_is_a_url_and_no_path_is_one() -> None:
    urls = (
        "s3://b/x",
        "az://c",
        "memory://set",
        "simplecache::s3://b",
        "https://h",
        "pipe:cat x.tar",
        "hf://datasets/a/b",
    )
    assert all(is_remote(url) for url in urls)
    assert not any(is_remote(path) for path in ("/data", "data/set", r"C:\data", "C:/data", "a::b", "s3:bucket", "."))


@pytest.mark.usefixtures("ill")
def test_a_set_in_a_storage_opens_as_one_in_a_folder_does(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cifar10", {"validation": 12, "validation-b": 4}, shards=3)
    for file in folder.iterdir():
        MemoryFileSystem().pipe(f"/there/{file.name}", file.read_bytes())
    here = open_split("cifar10", "validation", data_dir=folder)
    for place in ("memory://there", "memory://there/", "memory://there/demo-validation-{00..02}.tar"):
        found = open_split("cifar10", "validation", data_dir=place)
        assert found.manifest.sha256 == here.manifest.sha256
        assert found.read(7).image.tobytes() == here.read(7).image.tobytes()


# -- hashes of shards ----------------------------------------------------------------------------------------


def test_a_shard_is_held_to_the_hash_that_it_is_listed_with(ill: Case, tmp_path: Path, shard: bytes) -> None:
    (tmp_path / "right.tar").write_bytes(shard)
    listed = sha256_of(tmp_path / "right.tar")
    other = shard[:600] + bytes([shard[600] ^ 1]) + shard[601:]  # a whole tar still
    ill.info, ill.reads = {"size": len(shard)}, [whole(other), whole(shard)]
    assert read_all(listed) == shard
    assert len(ill.opened) == 2
    ill.reads = [whole(other)]
    assert read_all(listed) == shard  # kept
    with pytest.raises(InputError, match=r"SHA-256 is not the one that it is listed with.* packed anew"):
        read_all("0" * 64)
    assert len(ill.opened) == 2 + 3


@pytest.mark.usefixtures("ill")
def test_packing_lists_the_hashes_by_which_a_url_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "made"
    pack(write_tree(tmp_path / "tree", each=6), folder, shard_size=5, quiet=True)
    splits = read_info((folder / INFO).read_bytes(), "it")
    assert all(
        sha256_of(folder / file) == sha256
        for split in splits.values()
        for file, sha256 in zip(split.filenames, split.shard_sha256, strict=True)
    )
    for file in folder.iterdir():
        MemoryFileSystem().pipe(f"/made/{file.name}", file.read_bytes())
    wrong = splits["validation"].filenames[0]
    assert len(open_split("made", "train", data_dir="memory://made", calibration=2)) == 10
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "new"))
    write_shard(tmp_path / wrong, [("cat/1", 0, picture(1))])
    MemoryFileSystem().pipe(f"/made/{wrong}", (tmp_path / wrong).read_bytes())
    with pytest.raises(InputError, match=f"cannot fetch {wrong} from memory:.*SHA-256 is not the one"):
        open_split("made", "validation", data_dir="memory://made")


def test_a_packing_without_hashes_is_the_same_packing_and_gets_them(tmp_path: Path) -> None:
    tree, folder = write_tree(tmp_path / "tree"), tmp_path / "made"
    pack(tree, folder, quiet=True)
    new = (folder / INFO).read_text()
    splits = read_info(new, "it").values()
    old = info_text(SplitInfo(split.name, split.filenames, split.shard_lengths) for split in splits)
    assert "sha256" not in old
    (folder / INFO).write_text(old)
    assert pack(tree, folder, quiet=True).unchanged
    assert (folder / INFO).read_text() == new
    (folder / INFO).write_text(old.replace("validation", "valid", 1))
    with pytest.raises(InputError, match="holds another packing"):
        pack(tree, folder, quiet=True)


def test_check_finds_a_shard_of_another_hash(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    pack(write_tree(tmp_path / "tree"), folder, quiet=True)
    shard = next(iter(folder.glob("*-train-*.tar")))
    content = bytearray(shard.read_bytes())
    content[330] ^= 1  # in a header's empty field: no image changes, and no reader looks
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    shard.write_bytes(content)
    faults = check_folder(folder, quiet=True).faults
    assert [(fault.shard, fault.why) for fault in faults] == [(shard.name, f"its SHA-256 is not the one in {INFO}")]


@pytest.mark.parametrize("hashes", [["00"], ["0" * 64, "0" * 64], "0" * 64, [None]])
def test_hashes_that_are_none_are_refused(hashes: Any) -> None:
    import json

    text = json.dumps({"splits": {"train": {"filenames": ["a.tar"], "shard_lengths": [1], "shard_sha256": hashes}}})
    with pytest.raises(InputError, match="shard_sha256"):
        read_info(text, "it")
