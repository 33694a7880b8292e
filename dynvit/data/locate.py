"""Where the shards of a data set are: a folder, or URLs that are downloaded once into the cache."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from dynvit.data.fetching import WAYS, fetch
from dynvit.data.held import Held
from dynvit.data.listing import some
from dynvit.data.manifest import INFO, SplitInfo, read_info
from dynvit.data.remote_shards import RemoteShard
from dynvit.data.split_names import TEST, VALIDATION, ShardName, shard_in, shard_named, split_named
from dynvit.errors import InputError

TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_MANY = 1_000_000  # a number that is no count
# A protocol, or several of fsspec's, one within the other: simplecache::s3://bucket. A Windows drive is one letter.
_REMOTE = re.compile(r"^(pipe:|[a-z][a-z0-9+.-]+(::[a-z0-9+.-]+)*://)")


@dataclass(frozen=True)
class Location:
    """Shards by split. ``base`` is the folder or the URL; ``remote`` says where a shard comes from that is remote."""

    base: str
    splits: dict[str, SplitInfo]
    remote: dict[str, RemoteShard]

    def shard(self, name: str, ahead: bool = False) -> Held:
        """The shard as a local file, held, fetched now where it is remote and not in the cache.

        Raises: ``InputError`` where it is missing or cannot be fetched. ``NoSpaceError`` only ``ahead``.
        """
        if name in self.remote:
            return self.remote[name].held(ahead=ahead)
        path = Path(self.base) / name
        if not path.is_file():
            raise InputError(f"shard {path} is missing, although {INFO} lists it; {WAYS}")
        try:
            return Held(path)
        except OSError as error:
            raise InputError(f"shard {path} cannot be read: {error.strerror or error}") from error

    @property
    def folder(self) -> Path | None:
        """The local folder, or ``None`` where the shards are remote."""
        return None if self.remote or is_remote(self.base) else Path(self.base)


def locate(name: str, data_dir: str | os.PathLike[str] | None = None) -> Location:
    """Find ``name`` in ``data_dir`` (a folder, the folder above it, or a URL pattern), else in ``$DYNVIT_DATA``.

    A URL is that of a folder with an ``_info.json``, or a pattern of shards with braces
    (``https://host/imagenet1k-validation-{00..63}.tar``, ``pipe:curl -s … .tar``).

    Raises: ``InputError`` where there are no shards, with the ways to get them.
    """
    if data_dir is not None and is_remote(data_dir):
        return _remote(str(data_dir))
    root = data_dir if data_dir is not None else os.environ.get("DYNVIT_DATA")
    if root and is_remote(root):
        return _remote(f"{str(root).rstrip('/')}/{name}")
    if not root:
        raise InputError(f"no place to read {name} from: give --data-dir or set DYNVIT_DATA; or {WAYS}")
    for folder in (Path(root), Path(root) / name) if data_dir is not None else (Path(root) / name,):
        if found := shards_in(folder):
            return found
    raise InputError(f"no shards of {name} in {root} (no {INFO}, no .tar): {WAYS}")


def shards_in(folder: Path) -> Location | None:
    """The shards in a folder, by its ``_info.json`` or by their names; None where it has neither.

    Raises: ``InputError`` where the one is broken or the others do not tell their split.
    """
    if (folder / INFO).is_file():
        return Location(str(folder), _by_split(read_info((folder / INFO).read_bytes(), str(folder / INFO))), {})
    if folder.is_dir() and (shards := sorted(path.name for path in folder.iterdir() if _is_tar(path))):
        return Location(str(folder), _infer_folder(shards, str(folder)), {})
    return None


def packed_folders(root: Path) -> list[Path]:
    """The folders in ``root`` that hold shards whose splits can be told, by name. Hidden ones are left out."""
    found = []
    for name in sorted(next(os.walk(root), ("", [], []))[1]):
        with contextlib.suppress(InputError):
            if not name.startswith(".") and shards_in(root / name):
                found.append(root / name)
    return found


def is_remote(place: str | os.PathLike[str]) -> bool:
    """Whether a place is a URL."""
    return bool(_REMOTE.match(str(place)))


def _remote(pattern: str) -> Location:
    if ".tar" not in pattern:
        base = pattern.rstrip("/")
        if base.startswith("pipe:"):
            raise InputError(f"{pattern!r} names no shard: a pipe: URL is a command with a pattern of .tar names")
        splits = _by_split(read_info(fetch(f"{base}/{INFO}").read_bytes(), f"{base}/{INFO}"))
        remote = {
            file: RemoteShard(f"{base}/{file}", sha256)
            for split in splits.values()
            for file, sha256 in zip_longest(split.filenames, split.shard_sha256, fillvalue="")
        }
        return Location(base, splits, remote)
    from webdataset.shardlists import expand_urls

    urls = {_name(url): url for url in expand_urls(pattern)}
    return Location(pattern, _infer(list(urls), pattern), {name: RemoteShard(url) for name, url in urls.items()})


def _name(url: str) -> str:
    shard = shard_in(url)
    return shard.file if shard else url.rpartition("/")[2]


def _is_tar(path: Path) -> bool:
    """Whether a file is called as a tar is, compressed ones too: those that are no shard must not go unsaid."""
    return path.name.lower().endswith(TARS) and not path.name.startswith(".") and not path.is_dir()


def _by_split(splits: Mapping[str, SplitInfo]) -> dict[str, SplitInfo]:
    """Splits by their usual names, where one spelling of each is there; ``SplitInfo.name`` stays as it is written."""
    usual = {name: split_named(name) or name for name in splits}
    once = Counter(usual.values())
    return {usual[name] if once[usual[name]] == 1 else name: split for name, split in splits.items()}


def _infer_folder(names: list[str], where: str) -> dict[str, SplitInfo]:
    """Shards of a folder by split: all of one data set, each with a name that tells its split."""
    shards = [shard for name in names if (shard := shard_named(name))]
    if shards and (odd := sorted(set(names) - {shard.file for shard in shards})):
        raise InputError(
            f"{where} holds shards and {some(odd)}, of which no name tells the split: call them NAME-SPLIT-00000.tar, "
            f"move them away, or list what counts in {INFO}"
        )
    sets = sorted({shard.name for shard in shards})
    if len(sets) > 1:
        raise InputError(
            f"{where} holds shards of several data sets ({some(name or 'no name' for name in sets)}): give each a "
            f"folder, or list what belongs together in {INFO}"
        )
    _warn_of_gaps(shards, where)
    return _infer(names, where)


def _warn_of_gaps(shards: list[ShardName], where: str) -> None:
    by_split: dict[str, list[ShardName]] = {}
    for shard in shards:
        by_split.setdefault(shard.written, []).append(shard)
    for written, those in by_split.items():
        there = {shard.number for shard in those}
        count = max((shard.total for shard in those if shard.total), default=0)
        first = 0 if count else min(there)
        lacking = sorted(set(range(first, max(count, max(there) + 1))) - there) if max(there) < _MANY else []
        if lacking:
            numbers = some(map(str, lacking))
            warnings.warn(f"{where} lacks {len(lacking)} shards of {written}: numbers {numbers}", stacklevel=2)


def _infer(names: list[str], where: str) -> dict[str, SplitInfo]:
    shards = [(name, shard) for name in names if (shard := shard_in(name))]
    if not shards:
        raise InputError(
            f"cannot tell the splits of {where}: shards are called NAME-SPLIT-00000.tar, or an {INFO} lists them"
        )
    # As in packing: test is what is reported only where there is no validation beside it.
    only_test = not any(shard.split == VALIDATION for _, shard in shards)
    splits: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}
    for name, shard in shards:
        split = VALIDATION if only_test and shard.split == TEST else shard.split
        if spelled.setdefault(split, shard.written) != shard.written:
            raise InputError(
                f"shards of {where} are called {spelled[split]} and {shard.written}, which are both {split}: join or "
                f"rename them, or list what counts in {INFO}"
            )
        splits.setdefault(split, []).append(name)
    return {split: SplitInfo(split, tuple(files)) for split, files in splits.items()}
