"""Reads every sample of a folder of shards, and reports what is bad and what is not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dynvit.data.datasets import DatasetSpec
from dynvit.data.locate import TARS, Location, locate
from dynvit.data.manifest import CLASS_NAMES, INFO, Manifest, Sample, read_class_names
from dynvit.data.scan import scan_shard, unused_members
from dynvit.data.source import ShardSource
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.progress import Progress


@dataclass(frozen=True)
class Fault:
    """One fault; ``key`` is empty where the whole shard has it."""

    shard: str
    key: str
    why: str


@dataclass(frozen=True)
class CheckReport:
    """How many samples were read and decoded, their faults, and the files in the folder that are no part of it."""

    samples: int
    faults: tuple[Fault, ...]
    unused: tuple[str, ...] = ()


def check_folder(folder: Path, *, workers: int = 2, quiet: bool = False) -> CheckReport:
    """Read and decode every sample of every split in ``folder``; compare with manifests where there are any.

    Every shard is read to the end of its file. A file that is called as a shard and listed nowhere is a fault; what
    else the folder holds is named.

    Raises: ``InputError`` where there are no shards at all.
    """
    location = locate(folder.name, folder)
    tasks = list(_tasks(location))
    faults, unused = _beside(location)
    count = 0
    keys: dict[tuple[str, str], str] = {}
    # Threads suffice: decoding and hashing release the GIL.
    with (
        Progress(f"checking {folder}", len(tasks), unit="shards", quiet=quiet) as progress,
        ThreadPoolExecutor(max(1, workers)) as pool,
    ):
        for task, (samples, found) in zip(tasks, pool.map(lambda task: task.run(), tasks), strict=True):
            count += len(samples)
            faults += found
            for sample in samples:
                first = keys.setdefault((task.split, sample.key), task.path.name)
                if first != task.path.name:
                    faults.append(Fault(task.path.name, sample.key, f"this key is in {first} too"))
            progress.advance(note=f"{count} samples, {len(faults)} bad")
    return CheckReport(count, tuple(faults), tuple(unused))


@dataclass(frozen=True)
class _Task:
    path: Path
    split: str
    length: int | None
    listed: dict[str, Sample] | None
    num_classes: int | None
    sha256: str = ""

    def run(self) -> tuple[Sequence[Sample], list[Fault]]:
        shard = self.path.name
        if not self.path.is_file():
            return (), [Fault(shard, "", "missing")]
        faults = []
        try:
            samples = scan_shard(self.path, fresh=True)
        except InputError as error:
            faults.append(Fault(shard, "", str(error)))
            try:
                samples = scan_shard(self.path, fresh=True, keep_going=True)
            except InputError:
                return (), faults
        faults += [Fault(shard, name, "this member is of no sample") for name in unused_members(self.path)]
        if twice := [key for key, times in Counter(sample.key for sample in samples).items() if times > 1]:
            faults += [Fault(shard, key, "this key is in the shard more than once") for key in twice]
        if self.length is not None and len(samples) != self.length:
            faults.append(Fault(shard, "", f"holds {len(samples)} samples, _info.json says {self.length}"))
        faults += self._against_manifest(samples)
        if self.sha256 and sha256_of(self.path) != self.sha256:
            faults.append(Fault(shard, "", f"its SHA-256 is not the one in {INFO}"))
        spec = DatasetSpec(self.split, self.num_classes or 0, 0, "")
        source = ShardSource(spec, self.split, Manifest(samples), paths={shard: self.path})
        for index, sample in enumerate(samples):
            if sample.label < 0 or (self.num_classes is not None and sample.label >= self.num_classes):
                faults.append(Fault(shard, sample.key, f"label {sample.label} is out of range"))
            try:
                source.read(index)
            except InputError as error:
                faults.append(Fault(shard, sample.key, str(error)))
        return samples, faults

    def _against_manifest(self, samples: tuple[Sample, ...]) -> list[Fault]:
        if self.listed is None:
            return []
        shard, faults = self.path.name, []
        for sample in samples:
            listed = self.listed.get(sample.key)
            if listed is None:
                faults.append(Fault(shard, sample.key, "not in the manifest"))
            elif listed != sample:
                kinds = [k for k in ("label", "size", "sha256", "offset") if getattr(listed, k) != getattr(sample, k)]
                faults.append(Fault(shard, sample.key, f"{', '.join(kinds)} differ from the manifest"))
        gone = self.listed.keys() - {sample.key for sample in samples}
        return faults + [Fault(shard, key, "in the manifest, not in the shard") for key in sorted(gone)]


def _beside(location: Location) -> tuple[list[Fault], list[str]]:
    """The files that no split lists: shards are faults, since nobody reads their images."""
    if location.folder is None:
        return [], []
    listed = {file for split in location.splits.values() for file in split.filenames}
    listed |= {INFO, CLASS_NAMES} | {f"manifest-{split.name}.jsonl" for split in location.splits.values()}
    there = [path for path in sorted(location.folder.iterdir()) if path.name not in listed]
    shards = [path.name for path in there if path.name.lower().endswith(TARS)]
    faults = [Fault(name, "", "no split lists this file: its images are not read") for name in shards]
    return faults, [path.name + ("/" if path.is_dir() else "") for path in there if path.name not in shards]


def _tasks(location: Location) -> list[_Task]:
    folder = location.folder
    if folder is None:
        raise InputError(f"{location.base} is remote: check a folder")
    names = folder / CLASS_NAMES
    num_classes = len(read_class_names(names)) if names.is_file() else None
    tasks = []
    for split in location.splits.values():
        manifest = folder / f"manifest-{split.name}.jsonl"
        by_shard: dict[str, dict[str, Sample]] | None = None
        if manifest.is_file():
            by_shard = {}
            for sample in Manifest.read(manifest).samples:
                by_shard.setdefault(sample.shard, {})[sample.key] = sample
        for i, file in enumerate(split.filenames):
            length = split.shard_lengths[i] if split.shard_lengths else None
            listed = None if by_shard is None else by_shard.get(file, {})
            sha256 = split.shard_sha256[i] if split.shard_sha256 else ""
            tasks.append(_Task(folder / file, split.name, length, listed, num_classes, sha256))
    return tasks
