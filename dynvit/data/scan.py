"""A manifest for shards without one: one pass over each tar, kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.cache import kept, place_for
from dynvit.data.image_kinds import IMAGE_KEYS
from dynvit.data.listing import cut
from dynvit.data.manifest import Manifest, Sample
from dynvit.data.tar_end import GoesOnError, check_end
from dynvit.errors import InputError

_FORM = 2  # of what is kept: what an earlier scan passed over is looked at again
_WHOLE = re.compile(rb"\s*[+-]?[0-9]{1,18}\s*")


def scan_shard(path: Path, *, keep_going: bool = False, fresh: bool = False) -> tuple[Sample, ...]:
    """The samples of one shard, from the cache where the file's name, size and times are unchanged.

    ``keep_going`` takes what can be read of a shard that is truncated or goes on after its end; ``fresh`` ignores the
    cache. The cache is a convenience: where it cannot be read or written, each scan is a fresh one.

    Raises: ``InputError`` for a truncated tar (with its last good key), one that goes on after its end, and a sample
    without image or label, or with two.
    """
    known = None if fresh else remembered(path)
    if known is not None:
        # A damaged scan is made again.
        with contextlib.suppress(OSError, InputError):
            if samples := Manifest.read(known).samples:
                return samples
    found: list[Sample] = []
    try:
        for sample in _samples(path):
            found.append(sample)
    except (tarfile.TarError, EOFError, GoesOnError) as error:
        if keep_going:
            return tuple(found)
        if isinstance(error, GoesOnError):
            raise
        last = f"its last good key is {found[-1].key!r}" if found else "it has no good sample"
        raise InputError(
            f"shard {path} is truncated or no tar ({error}): {last}; fetch or pack it again, "
            "or skip what is bad with --on-bad-sample skip"
        ) from error
    with contextlib.suppress(OSError, InputError):  # without a writable cache the next run scans again
        Manifest(tuple(found)).write(place_for(*_remembered_as(path)))
    return tuple(found)


def remembered(path: Path) -> Path | None:
    """The kept scan of a shard as it is now; None where there is none."""
    return kept(*_remembered_as(path))


def forget_scan(path: Path) -> None:
    """Drop the kept scan of a shard: it turned out to be of other bytes."""
    with contextlib.suppress(OSError):
        if (known := remembered(path)) is not None:
            known.unlink()


def _remembered_as(path: Path) -> tuple[str, str]:
    # The time of change as well: a copy may keep size and modification time, and hold other bytes.
    stat = path.stat()
    state = f"{_FORM}\n{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}\n{stat.st_ctime_ns}"
    return "manifests", f"{hashlib.sha256(state.encode()).hexdigest()}.jsonl"


def unused_members(path: Path) -> list[str]:
    """The members of a shard that are of no sample: links, hidden files, files without an extension."""
    found: list[str] = []
    with contextlib.suppress(tarfile.TarError), tarfile.open(path, "r:") as tar:  # said by the scan
        found += (member.name for member in tar if not member.isdir() and _key(member) is None)
    return found


@dataclass
class _Parts:
    key: str
    image: tuple[int, int, str] | None = None
    labels: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.image is not None and bool(self.labels)


def _samples(path: Path) -> Iterator[Sample]:
    parts: _Parts | None = None
    failure: Exception | None = None
    with tarfile.open(path, "r:") as tar:
        try:
            for member in tar:
                named = _key(member)
                if named is None:
                    continue
                key, extension = named
                if parts is None or parts.key != key:
                    if parts is not None:
                        yield _finish(path, parts)
                    parts = _Parts(key)
                _add(path, tar, member, extension, parts)
            with path.open("rb") as file:
                check_end(file, tar.offset, path.stat().st_size, f"shard {path}")
        except (tarfile.TarError, EOFError, GoesOnError) as error:
            failure = error
    if parts is not None and (failure is None or parts.complete):
        yield _finish(path, parts)
    if failure is not None:
        raise failure


def _key(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """The key and the extension of a member; None for one of no sample."""
    folder, _, base = member.name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not member.isfile() or not stem or not extension or folder.startswith("__MACOSX"):
        return None
    return f"{folder}/{stem}" if folder else stem, extension.lower()


def _add(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str, parts: _Parts) -> None:
    where = f"shard {path}, key {parts.key!r}"
    if extension in parts.seen:
        raise InputError(f"{where} has .{extension} twice, and only one can be meant: pack the data again")
    parts.seen.append(extension)
    if extension not in (*IMAGE_KEYS, "cls", "json"):
        return
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) < member.size:
        raise EOFError("unexpected end of data")
    if extension in IMAGE_KEYS:
        if parts.image is not None:
            raise InputError(f"{where} has two images ({', '.join(parts.seen)}): a sample has one; pack the data again")
        parts.image = (member.offset_data, member.size, hashlib.sha256(content).hexdigest())
    elif (label := _label(content, extension, where)) is not None:
        parts.labels[extension] = label


def _label(content: bytes, extension: str, where: str) -> int | None:
    """The class index in a ``.cls`` or ``.json``; None where JSON has none. A number in JSON may be text."""
    given: object = content
    try:
        if extension == "json":
            given = json.loads(content).get("label")
            if given is None:
                return None
        if isinstance(given, float) and given.is_integer():
            return int(given)
        text = given.encode() if isinstance(given, str) else given
        if isinstance(text, bytes) and _WHOLE.fullmatch(text):
            return int(text)
        if isinstance(given, int) and not isinstance(given, bool):
            return given
        why = f"got {cut(repr(given))}"
    except (ValueError, AttributeError, RecursionError) as error:
        why = cut(str(error))
    raise InputError(f"{where}: .{extension} holds no class index ({why}): a label is a whole number in ASCII")


def _finish(path: Path, parts: _Parts) -> Sample:
    if parts.image is None or not parts.labels:
        lacking = f"image ({'|'.join(IMAGE_KEYS)})" if parts.image is None else "label (cls)"
        raise InputError(f"shard {path}, key {parts.key!r} has no {lacking}, only {', '.join(parts.seen)}")
    if len(set(parts.labels.values())) > 1:
        said = " and ".join(f"{label} in .{extension}" for extension, label in parts.labels.items())
        raise InputError(f"shard {path}, key {parts.key!r} has label {said}: an image has one; pack the data again")
    offset, size, digest = parts.image
    return Sample(path.name, parts.key, next(iter(parts.labels.values())), offset, size, digest)
