"""Packing images into WebDataset shards: the same source gives the same bytes on every run."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

from dynvit.data.archives import BROKEN, LeftOut, broken, open_tree
from dynvit.data.collection import Picture, merged
from dynvit.data.image_kinds import extension_of
from dynvit.data.listing import some
from dynvit.data.manifest import CLASS_NAMES, INFO, Manifest, Sample, SplitInfo, class_names_text, info_text, read_info
from dynvit.data.pack_readers import read_collection
from dynvit.data.split_names import shard_named, spellings_said, split_named
from dynvit.data.splits import ranked
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.progress import Progress

_BLOCK = 512  # a tar's


NO_IMAGE = "files called images that hold none that Pillow reads"


@dataclass(frozen=True)
class Packed:
    """The result of a pack: samples by split, and whether the destination had the same bytes already.

    ``left_out`` names what the source holds and the shards do not, by kind; ``empty`` the classes without an image.
    """

    samples: dict[str, int]
    classes: int
    unchanged: bool
    left_out: LeftOut = field(default_factory=dict)
    empty: tuple[str, ...] = ()


def pack(
    source: Path,
    destination: Path,
    *,
    name: str | None = None,
    shard_size: int = 2000,
    flat_split: str | None = None,
    allow_missing_classes: bool = False,
    quiet: bool = False,
) -> Packed:
    """Pack ``source`` into ``destination``: ``NAME-SPLIT-00000.tar``, ``_info.json``, manifests, ``classnames.txt``.

    Image bytes are kept as they are (CIFAR's arrays become PNG), and called what they are. Samples are ordered by a
    hash of their keys: shuffled over classes, and the same whatever the order of the source. All is written under a
    temporary name and renamed at the end. Packing again compares, and changes nothing.

    Args:
        source: a folder, zip or tar, in one of the layouts of docs/data.md.
        destination: the folder to make.
        name: what shards are called; None: as the destination.
        shard_size: samples a shard.
        flat_split: the split of class folders without splits; None: what the source is called after, else validation.
        allow_missing_classes: whether a split may lack classes that train has.
        quiet: shows no progress.

    Returns: what was packed, and what was not.
    Raises: ``InputError`` for a source that cannot be read or leaves doubt, a destination that holds something else.
    """
    if shard_size < 1:
        raise InputError(f"shard size must be 1 sample or more, got {shard_size}")
    flat_split = None if flat_split is None else _split_to_make(flat_split)
    source, destination = Path(source), Path(destination).absolute()
    _check_destination(destination)
    with open_tree(source) as tree:
        try:
            collection = read_collection(tree, source, flat_split, allow_missing_classes=allow_missing_classes)
        except (*BROKEN, BadZipFile) as error:
            raise broken(source, error) from error
        with _work_folder(destination) as work:
            try:
                made = _write(collection.pictures, work, name or destination.name, shard_size, quiet)
            except (*BROKEN, BadZipFile) as error:
                if isinstance(error, OSError) and error.filename is None and error.errno is not None:
                    raise InputError(f"cannot write {destination}: {error.strerror}; nothing is left behind") from error
                raise broken(source, error) from error
            (work / CLASS_NAMES).write_text(class_names_text(collection.class_names), "utf-8")
            unchanged = _publish(work, destination)
    left_out = merged(collection.left_out, {NO_IMAGE: made.no_image} if made.no_image else {})
    empty = tuple(name for label, name in enumerate(collection.class_names) if label not in made.labels)
    return Packed(made.samples, len(collection.class_names), unchanged, left_out, empty)


def _check_destination(destination: Path) -> None:
    if destination.exists() and not destination.is_dir():
        raise InputError(f"{destination} is a file: give a folder that is new, empty, or packed from the same source")
    if destination.is_dir() and any(destination.iterdir()) and not (destination / INFO).is_file():
        raise InputError(f"{destination} holds other files: give a folder that is new or empty")


def _split_to_make(asked: str) -> str:
    """A split of any name that a shard can have, by its usual one. Raises: ``InputError`` for another."""
    split = split_named(asked) or asked
    if shard_named(f"x-{split}-0.tar") is None:
        raise InputError(
            f"--split must be one of {spellings_said()}, or one of them with a dash and a name, as validation-b; "
            f"got {asked!r}"
        )
    return split


@dataclass(frozen=True)
class _Written:
    samples: dict[str, int]
    labels: frozenset[int]
    no_image: list[str]


@contextmanager
def _work_folder(destination: Path) -> Iterator[Path]:
    destination.parent.mkdir(parents=True, exist_ok=True)
    lock = destination.parent / f".{destination.name}.lock"
    work = destination.parent / f".{destination.name}.partial"
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is packing into {destination}: wait for it") from error
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _write(pictures: Sequence[Picture], work: Path, name: str, shard_size: int, quiet: bool) -> _Written:
    splits = []
    labels: set[int] = set()
    no_image: list[str] = []
    with Progress(f"packing {name}", len(pictures), unit="samples", quiet=quiet) as progress:
        for split in sorted({picture.split for picture in pictures}):
            keyed = _keyed([picture for picture in pictures if picture.split == split])
            keys = list(keyed)
            order = [keys[i] for i in ranked(keys, 0, "pack")]
            filenames: list[str] = []
            lengths: list[int] = []
            hashes: list[str] = []
            samples: list[Sample] = []
            for number, start in enumerate(range(0, len(order), shard_size)):
                shard = work / f"{name}-{split}-{number:05d}.tar"
                part = [(key, keyed[key]) for key in order[start : start + shard_size]]
                written = list(_write_shard(shard, part, progress, no_image))
                samples += written
                filenames.append(shard.name)
                lengths.append(len(written))
                hashes.append(sha256_of(shard))
            Manifest(tuple(samples)).write(work / f"manifest-{split}.jsonl")
            splits.append(SplitInfo(split, tuple(filenames), tuple(lengths), tuple(hashes)))
            labels.update(sample.label for sample in samples)
    if not labels:
        raise InputError(f"no file holds an image that Pillow reads: {some(no_image)}")
    (work / INFO).write_text(info_text(splits))
    return _Written({split.name: split.num_samples or 0 for split in splits}, frozenset(labels), no_image)


def _keyed(pictures: Sequence[Picture]) -> dict[str, Picture]:
    """Pictures by key. A key ends at the first dot of a file's name, so dots are replaced; duplicates are numbered."""
    keyed: dict[str, Picture] = {}
    for picture in sorted(pictures, key=lambda p: (p.name, p.extension)):
        path = PurePosixPath(picture.name)
        plain = str(path.with_name(path.name.replace(".", "_")))
        key, number = plain, 2
        while key in keyed:
            key, number = f"{plain}-{number}", number + 1
        keyed[key] = picture
    return keyed


def _write_shard(
    shard: Path, part: Sequence[tuple[str, Picture]], progress: Progress, no_image: list[str]
) -> Iterator[Sample]:
    from webdataset.writer import TarWriter

    with shard.open("wb") as file, ExitStack() as closing:
        # Time and owner are fixed, so that each run writes the same bytes; PAX takes names of any length.
        writer = TarWriter(file, user="", group="", mtime=0, encoder=False, format="PAX_FORMAT")
        closing.callback(_close_quietly, writer)
        for key, picture in part:
            progress.advance()
            content = picture.read()
            extension = extension_of(content)
            if extension is None:
                no_image.append(f"{picture.name}{picture.extension}")
                continue
            writer.write({"__key__": key, "cls": str(picture.label).encode()})
            writer.write({"__key__": key, extension: content})
            padded = -(-len(content) // _BLOCK) * _BLOCK
            offset = writer.tarstream.offset - padded
            digest = hashlib.sha256(content).hexdigest()
            yield Sample(shard.name, key, picture.label, offset, len(content), digest)
        closing.pop_all()
        writer.close()
        file.flush()
        os.fsync(file.fileno())


def _close_quietly(writer: Any) -> None:
    """Where writing failed: else the tar's end would be tried again when it is collected, with a traceback."""
    with suppress(OSError, ValueError):
        writer.close()


def _publish(work: Path, destination: Path) -> bool:
    """Rename the finished folder; True where the destination had the same bytes already."""
    if not destination.is_dir() or not any(destination.iterdir()):
        work.replace(destination)  # an empty folder may be replaced in one step
        return False
    made = sorted(p.name for p in work.iterdir())
    there = sorted(p.name for p in destination.iterdir())
    if made == there and not any(filecmp.cmpfiles(work, destination, made, shallow=False)[1:]):
        return True
    if made == there and _differ_by_hashes_alone(work, destination, made):
        (work / INFO).replace(destination / INFO)
        return True
    raise InputError(f"{destination} holds another packing: nothing was changed; give a new folder or remove that one")


def _differ_by_hashes_alone(work: Path, destination: Path, made: Sequence[str]) -> bool:
    """Whether the destination is the same packing, of a time when the shards' hashes were not listed."""
    files = [name for name in made if name != INFO]
    if any(filecmp.cmpfiles(work, destination, files, shallow=False)[1:]):
        return False
    new, old = (read_info((folder / INFO).read_bytes(), str(folder / INFO)) for folder in (work, destination))
    return old == {name: replace(split, shard_sha256=()) for name, split in new.items()}
