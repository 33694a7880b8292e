"""A manifest for shards without one: one pass over each tar, kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.cache import kept, place_for
from dynvit.data.manifest import Manifest, Sample
from dynvit.errors import InputError

IMAGE_KEYS = ("jpg", "jpeg", "png", "webp")


def scan_shard(path: Path, *, keep_going: bool = False, fresh: bool = False) -> tuple[Sample, ...]:
    """The samples of one shard, from the cache where the file's name, size and times are unchanged.

    ``keep_going`` takes what can be read of a truncated shard; ``fresh`` ignores the cache. The cache is a convenience:
    where it cannot be read or written, each scan is a fresh one.

    Raises: ``InputError`` for a truncated tar (with its last good key), a sample without image or label.
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
    except (tarfile.TarError, EOFError) as error:
        if not keep_going:
            last = f"its last good key is {found[-1].key!r}" if found else "it has no good sample"
            raise InputError(
                f"shard {path} is truncated or no tar ({error}): {last}; fetch or pack it again, "
                "or skip what is bad with --on-bad-sample skip"
            ) from error
        return tuple(found)
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
    state = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}\n{stat.st_ctime_ns}"
    return "manifests", f"{hashlib.sha256(state.encode()).hexdigest()}.jsonl"


@dataclass
class _Parts:
    key: str
    image: tuple[int, int, str] | None = None
    label: int | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.image is not None and self.label is not None


def _samples(path: Path) -> Iterator[Sample]:
    parts: _Parts | None = None
    failure: Exception | None = None
    with tarfile.open(path, "r:") as tar:
        try:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                if not member.isfile() or not stem or not extension:
                    continue
                key = f"{folder}/{stem}" if folder else stem
                if parts is None or parts.key != key:
                    if parts is not None:
                        yield _finish(path, parts)
                    parts = _Parts(key)
                _add(path, tar, member, extension.lower(), parts)
            if path.stat().st_size < tar.offset + tarfile.BLOCKSIZE:
                raise EOFError("no end-of-archive mark")  # tarfile takes a cut between two members for an end
        except (tarfile.TarError, EOFError) as error:
            failure = error
    if parts is not None and (failure is None or parts.complete):
        yield _finish(path, parts)
    if failure is not None:
        raise failure


def _add(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str, parts: _Parts) -> None:
    parts.seen.append(extension)
    if extension not in (*IMAGE_KEYS, "cls", "json"):
        return
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) < member.size:
        raise EOFError("unexpected end of data")
    if extension in IMAGE_KEYS:
        parts.image = (member.offset_data, member.size, hashlib.sha256(content).hexdigest())
        return
    try:
        if extension == "cls":
            parts.label = int(content)
        elif parts.label is None:
            label = json.loads(content).get("label")
            parts.label = None if label is None else int(label)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(
            f"shard {path}, key {parts.key!r}: .{extension} holds no class index ({error}): "
            "a label is a whole number in ASCII"
        ) from error


def _finish(path: Path, parts: _Parts) -> Sample:
    if parts.image is None or parts.label is None:
        lacking = f"image ({'|'.join(IMAGE_KEYS)})" if parts.image is None else "label (cls)"
        raise InputError(f"shard {path}, key {parts.key!r} has no {lacking}, only {', '.join(parts.seen)}")
    offset, size, digest = parts.image
    return Sample(path.name, parts.key, parts.label, offset, size, digest)
