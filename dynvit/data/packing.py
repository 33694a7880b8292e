"""Packing images into WebDataset shards: the same source gives the same bytes on every run."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile

from dynvit.data.archives import BROKEN, broken, open_tree
from dynvit.data.manifest import CLASS_NAMES, INFO, Manifest, Sample, SplitInfo, class_names_text, info_text
from dynvit.data.pack_readers import Picture, read_collection
from dynvit.data.splits import ranked
from dynvit.errors import InputError
from dynvit.progress import Progress

_BLOCK = 512  # a tar's


@dataclass(frozen=True)
class Packed:
    """The result of a pack: samples by split, and whether the destination had the same bytes already."""

    samples: dict[str, int]
    classes: int
    unchanged: bool


def pack(
    source: Path,
    destination: Path,
    *,
    name: str | None = None,
    shard_size: int = 2000,
    flat_split: str = "validation",
    quiet: bool = False,
) -> Packed:
    """Pack ``source`` into ``destination``: ``NAME-SPLIT-00000.tar``, ``_info.json``, manifests, ``classnames.txt``.

    ``source`` is a tree SPLIT/CLASS/FILE or CLASS/FILE, CIFAR's python pickles, or ``images/`` with ``labels.csv``:
    a folder, or a zip or tar of one. Image bytes are kept as they are (CIFAR's arrays become PNG). Samples are
    ordered by a hash of their keys: shuffled over classes, and the same whatever the order of the source.

    Everything is written under a temporary name beside ``destination`` and renamed at the end; the next pack
    removes what a killed one left. Packing again compares, and changes nothing.

    Raises: ``InputError`` for a source that cannot be read or holds no images, and for a destination that holds
    something else.
    """
    if shard_size < 1:
        raise InputError(f"shard size must be 1 sample or more, got {shard_size}")
    source, destination = Path(source), Path(destination).absolute()
    if destination.exists() and not destination.is_dir():
        raise InputError(f"{destination} is a file: give a folder that is new, empty, or packed from the same source")
    if destination.is_dir() and any(destination.iterdir()) and not (destination / INFO).is_file():
        raise InputError(f"{destination} holds other files: give a folder that is new or empty")
    with open_tree(source) as files:
        collection = read_collection(files, str(source), flat_split)
        with _work_folder(destination) as work:
            try:
                counts = _write(collection.pictures, work, name or destination.name, shard_size, quiet)
            except (*BROKEN, BadZipFile) as error:
                if isinstance(error, OSError) and error.filename is None and error.errno is not None:
                    raise InputError(
                        f"cannot write {destination}: {error.strerror}; nothing was left behind"
                    ) from error
                raise broken(source, error) from error
            (work / CLASS_NAMES).write_text(class_names_text(collection.class_names), "utf-8")
            unchanged = _publish(work, destination)
    return Packed(counts, len(collection.class_names), unchanged)


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


def _write(pictures: Sequence[Picture], work: Path, name: str, shard_size: int, quiet: bool) -> dict[str, int]:
    splits = []
    with Progress(f"packing {name}", len(pictures), unit="samples", quiet=quiet) as progress:
        for split in sorted({picture.split for picture in pictures}):
            keyed = _keyed([picture for picture in pictures if picture.split == split])
            keys = list(keyed)
            order = [keys[i] for i in ranked(keys, 0, "pack")]
            filenames: list[str] = []
            lengths: list[int] = []
            samples: list[Sample] = []
            for number, start in enumerate(range(0, len(order), shard_size)):
                shard = work / f"{name}-{split}-{number:05d}.tar"
                part = [(key, keyed[key]) for key in order[start : start + shard_size]]
                samples += _write_shard(shard, part, progress)
                filenames.append(shard.name)
                lengths.append(len(part))
            Manifest(tuple(samples)).write(work / f"manifest-{split}.jsonl")
            splits.append(SplitInfo(split, tuple(filenames), tuple(lengths)))
    (work / INFO).write_text(info_text(splits))
    return {split.name: split.num_samples or 0 for split in splits}


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


def _write_shard(shard: Path, part: Sequence[tuple[str, Picture]], progress: Progress) -> Iterator[Sample]:
    from webdataset.writer import TarWriter

    with shard.open("wb") as file:
        # Time and owner are fixed, so that each run writes the same bytes; PAX takes names of any length.
        writer = TarWriter(file, user="", group="", mtime=0, encoder=False, format="PAX_FORMAT")
        for key, picture in part:
            content = picture.read()
            label = str(picture.label).encode()
            writer.write({"__key__": key, "cls": label, picture.extension: content})
            padded = -(-len(content) // _BLOCK) * _BLOCK
            offset = writer.tarstream.offset - padded
            digest = hashlib.sha256(content).hexdigest()
            yield Sample(shard.name, key, picture.label, offset, len(content), digest)
            progress.advance()
        writer.close()
        file.flush()
        os.fsync(file.fileno())


def _publish(work: Path, destination: Path) -> bool:
    """Rename the finished folder; True where the destination had the same bytes already."""
    if not destination.is_dir() or not any(destination.iterdir()):
        work.replace(destination)  # an empty folder may be replaced in one step
        return False
    made = sorted(p.name for p in work.iterdir())
    there = sorted(p.name for p in destination.iterdir())
    if made == there and not any(filecmp.cmpfiles(work, destination, made, shallow=False)[1:]):
        return True
    raise InputError(f"{destination} holds another packing: nothing was changed; give a new folder or remove that one")
