"""Where the shards of a data set are: a folder, or URLs that are downloaded once into the cache."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dynvit.data.fetching import WAYS, fetch
from dynvit.data.manifest import INFO, SplitInfo, read_info
from dynvit.errors import InputError

# imagenet1k-validation-b-03.tar: name, split, number. A split may hold dashes of its own.
_SHARD = re.compile(
    r"(?P<file>[^/\s]+-(?P<split>(?:train|validation|valid|val|test|calibration)(?:-[a-z]\w*)*)-\d+\.tar)(?=$|[\s?'\"])"
)
_REMOTE = re.compile(r"^(https?|pipe|hf|gs|s3|ais|sftp|ftps|scp):")


@dataclass(frozen=True)
class Location:
    """Shards by split. ``base`` is the folder or the URL; ``urls`` holds a shard's URL where it is remote."""

    base: str
    splits: dict[str, SplitInfo]
    urls: dict[str, str]

    def shard(self, name: str) -> Path:
        """The shard as a local file, fetched now where it is remote and not in the cache.

        Raises: ``InputError`` where it is missing or cannot be fetched.
        """
        if name in self.urls:
            return fetch(self.urls[name])
        path = Path(self.base) / name
        if not path.is_file():
            raise InputError(f"shard {path} is missing, although {INFO} lists it; {WAYS}")
        return path

    @property
    def folder(self) -> Path | None:
        """The local folder, or ``None`` where the shards are remote."""
        return None if self.urls or is_remote(self.base) else Path(self.base)


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
        return Location(str(folder), read_info((folder / INFO).read_bytes(), str(folder / INFO)), {})
    if folder.is_dir() and (shards := sorted(path.name for path in folder.glob("*.tar"))):
        return Location(str(folder), _infer(shards, str(folder)), {})
    return None


def packed_folders(root: Path) -> list[Path]:
    """The folders in ``root`` that hold shards whose splits can be told, by name. Hidden ones are left out."""
    found = []
    for name in sorted(next(os.walk(root), ("", [], []))[1]):
        with contextlib.suppress(InputError):
            if not name.startswith(".") and shards_in(root / name):
                found.append(root / name)
    return found


def is_shard(name: str) -> bool:
    """Whether a file is called as a shard is: it tells its split."""
    return bool(_SHARD.fullmatch(name))


def is_remote(place: str | os.PathLike[str]) -> bool:
    """Whether a place is a URL."""
    return bool(_REMOTE.match(str(place)))


def _remote(pattern: str) -> Location:
    if ".tar" not in pattern:
        base = pattern.rstrip("/")
        if base.startswith("pipe:"):
            raise InputError(f"{pattern!r} names no shard: a pipe: URL is a command with a pattern of .tar names")
        splits = read_info(fetch(f"{base}/{INFO}").read_bytes(), f"{base}/{INFO}")
        names = [file for split in splits.values() for file in split.filenames]
        return Location(base, splits, {file: f"{base}/{file}" for file in names})
    from webdataset.shardlists import expand_urls

    urls = {_name(url): url for url in expand_urls(pattern)}
    return Location(pattern, _infer(list(urls), pattern), urls)


def _name(url: str) -> str:
    match = _SHARD.search(url)
    return match["file"] if match else url.rpartition("/")[2]


def _infer(names: list[str], where: str) -> dict[str, SplitInfo]:
    matches = [match for name in names if (match := _SHARD.search(name))]
    # As in packing: test is what is reported only where there is no validation beside it.
    aliases = {"val": "validation", "valid": "validation"}
    if not any(aliases.get(match["split"], match["split"]) == "validation" for match in matches):
        aliases["test"] = "validation"
    splits: dict[str, list[str]] = {}
    for match in matches:
        splits.setdefault(aliases.get(match["split"], match["split"]), []).append(match.string)
    if not splits:
        raise InputError(
            f"cannot tell the splits of {where}: shards are called NAME-SPLIT-00000.tar, or an {INFO} lists them"
        )
    return {split: SplitInfo(split, tuple(files)) for split, files in splits.items()}
