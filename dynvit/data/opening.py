"""Opens a split by its name: finds the shards, counts the samples, and splits them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.data.class_match import label_translation
from dynvit.data.datasets import DatasetSpec
from dynvit.data.fetching import in_order
from dynvit.data.folder_dataset import find_dataset, packed_class_names, read_from
from dynvit.data.locate import Location, locate
from dynvit.data.manifest import CLASS_NAMES, Manifest, Sample, SplitInfo
from dynvit.data.remote_shards import RemoteShards, still_there
from dynvit.data.scan import scan_shard
from dynvit.data.source import ArraySource, ImageSource, OnBadSample, ShardSource, check_labels
from dynvit.data.split_names import find_split
from dynvit.data.splits import calibration_keys, calibration_shards, calibration_size, ranked, stratified
from dynvit.errors import InputError
from dynvit.progress import Progress

EMBEDDED_VALIDATION = 0.2  # of each class; a set without a validation split gets one by seed


def open_split(
    dataset: str | DatasetSpec,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    calibration: int | None = None,
    on_bad_sample: OnBadSample = "raise",
    limit: int | None = None,
    quiet: bool = False,
) -> ImageSource:
    """Open ``split`` of a data set: by its registered name, by the folder that it was packed into, or as it was found.

    ``train``, ``validation`` and any other split that ``_info.json`` names; ``calibration`` is held out of train:
    ``calibration`` samples (a tenth of train, at most 5,000, where not given), drawn by ``seed``, and ``train`` is
    without them. ``digits`` has no split of its own: a fifth of each class, by seed, is validation.
    ``limit`` keeps the first N of a fixed shuffle by ``seed``, which is a fair sample of the split.
    ``quiet`` shows no progress: for every process but the first.

    ``classnames.txt`` beside the shards is compared with the data set's own names: where it says the same classes in
    another order, or some of them, labels are translated.

    Raises: ``InputError`` for an unknown name or split, missing or truncated shards, a count that differs
    from ``_info.json``, labels out of range, other classes than the data set's; for a ``data_dir`` of digits.
    """
    spec = read_from(dataset, data_dir) if isinstance(dataset, DatasetSpec) else find_dataset(dataset, data_dir)
    if spec.embedded is not None:
        source = _open_embedded(spec, split, seed, calibration)
    else:
        location = _location(spec, data_dir)
        read = _Reader(spec, location, on_bad_sample, quiet, _translation(spec, location, quiet))
        source = _open_shards(spec, split, read, seed, calibration)
    return source if limit is None else drawn(source, limit, seed)


def drawn(source: ImageSource, limit: int, seed: int) -> ImageSource:
    """The first ``limit`` samples of a fixed shuffle by ``seed``; the source itself where it has no more.

    Raises: ``InputError`` for a limit below 1.
    """
    if limit < 1:
        raise InputError(f"limit must be 1 image or more, got {limit}")
    keys = [sample.key for sample in source.manifest.samples]
    return source if limit >= len(source) else source.subset(ranked(keys, seed, "limit")[:limit])


def split_names(dataset: str | DatasetSpec, data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """The splits that can be opened. Raises: ``InputError`` where the shards are missing."""
    spec = dataset if isinstance(dataset, DatasetSpec) else find_dataset(dataset, data_dir)
    if spec.embedded is not None:
        return ["train", "validation", "calibration"]
    found = list(_location(spec, data_dir).splits)
    return [*found, "calibration"] if "train" in found and "calibration" not in found else found


def is_here(spec: DatasetSpec, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether nothing of the data set must be fetched to open it. Raises: ``InputError`` where it is nowhere."""
    return spec.embedded is not None or _location(spec, data_dir).folder is not None


def _location(spec: DatasetSpec, data_dir: str | os.PathLike[str] | None) -> Location:
    """A set that is a folder is where it was found, unless another place is named."""
    return locate(spec.name, spec.folder if data_dir is None else data_dir)


def _translation(spec: DatasetSpec, location: Location, quiet: bool) -> Mapping[int, int] | None:
    """How labels become those of the data set, where a file says what they mean and it is not the same."""
    if location.base == spec.folder:
        return None  # its names are that file's
    translation = label_translation(packed_class_names(location), spec, f"{location.base}/{CLASS_NAMES}")
    if not quiet and any(label != place for label, place in (translation or {}).items()):
        warnings.warn(
            f"{location.base}/{CLASS_NAMES} numbers its {len(translation or ())} classes in its own way: labels are "
            f"translated to their places among the {spec.num_classes} of {spec.name}",
            stacklevel=4,
        )
    return translation


def _open_embedded(spec: DatasetSpec, split: str, seed: int, calibration: int | None) -> ImageSource:
    assert spec.embedded is not None
    images, labels = spec.embedded()
    width = len(str(len(labels) - 1))
    samples = [
        Sample(
            "", f"{spec.name}-{i:0{width}}", int(label), i, image.nbytes, hashlib.sha256(image.tobytes()).hexdigest()
        )
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    keys = [sample.key for sample in samples]
    validation = {keys[i] for i in stratified(keys, labels.tolist(), EMBEDDED_VALIDATION, seed, "validation")}
    rest = [key for key in keys if key not in validation]
    held_out = calibration_keys(rest, calibration_size(len(rest), calibration), seed)
    members = {"validation": validation, "calibration": held_out, "train": set(rest) - held_out}
    split = find_split(split, members, spec.name)
    manifest = Manifest(tuple(sample for sample in samples if sample.key in members[split]))
    check_labels(manifest, spec.num_classes)
    return ArraySource(spec, split, manifest, images=images)


@dataclass(frozen=True)
class _Reader:
    """Reads the samples of some shards of a split, and counts them against ``_info.json``."""

    spec: DatasetSpec
    location: Location
    on_bad_sample: OnBadSample
    quiet: bool
    translation: Mapping[int, int] | None

    def __call__(self, split: SplitInfo, files: tuple[str, ...]) -> ShardSource:
        lengths = dict(zip(split.filenames, split.shard_lengths, strict=False))
        packed = self._packed(split)
        paths: dict[str, Path] = {}
        samples: list[Sample] = []
        lost = 0
        task = f"reading {self.spec.name} {split.name}"
        with Progress(task, len(files), unit="shards", quiet=self.quiet) as progress:
            for file, shard in zip(files, in_order(self.location.shard, files), strict=True):
                listed = packed.get(file, [])
                expected = lengths.get(file, len(listed) or None)
                with shard:
                    paths[file] = shard.path
                    found = self._samples(shard.path, listed, expected)
                samples.extend(self._named(sample, file) for sample in found)
                lost += 0 if expected is None else expected - len(found)
                progress.advance()
        manifest = Manifest(tuple(samples)).unique_keys()
        check_labels(manifest, self.spec.num_classes)
        manifests = {file: path for file in packed if (path := self._manifest_of(split)) is not None}
        remote = self._remote(split, paths)
        return ShardSource(self.spec, split.name, manifest, self.on_bad_sample, lost, paths, manifests, remote)

    def _remote(self, split: SplitInfo, paths: dict[str, Path]) -> RemoteShards | None:
        """What reads the shards that were fetched; says once where the cache has no space for all of them."""
        if not any(file in self.location.remote for file in paths):
            return None
        there = still_there(paths)
        if there < len(paths) and not self.quiet:
            warnings.warn(
                f"the cache has space for {there} of the {len(paths)} shards of {self.spec.name} {split.name}: each is "
                "fetched again for every pass over the images, and for single images where they are read in random "
                "order; DYNVIT_CACHE_GB or a larger disk makes more space",
                stacklevel=6,
            )
        return RemoteShards({file: self.location.remote[file] for file in paths})

    def _manifest_of(self, split: SplitInfo) -> Path | None:
        """The manifest that was packed with the shards."""
        folder = self.location.folder
        path = None if folder is None else folder / f"manifest-{split.name}.jsonl"
        return path if path is not None and path.is_file() else None

    def _named(self, sample: Sample, shard: str) -> Sample:
        """The sample as the data set counts its classes; itself where nothing differs, as of a million it mostly is."""
        label = self._label(sample)
        if sample.shard == shard and sample.label == label:
            return sample
        return dataclasses.replace(sample, shard=shard, label=label)

    def _label(self, sample: Sample) -> int:
        if self.translation is None:
            return sample.label
        if sample.label not in self.translation:
            raise InputError(
                f"shard {sample.shard}, key {sample.key!r}: label {sample.label} has no name among the "
                f"{len(self.translation)} of {CLASS_NAMES}: pack the data again"
            )
        return self.translation[sample.label]

    def _packed(self, split: SplitInfo) -> dict[str, list[Sample]]:
        """The packed samples, by shard."""
        by_shard: dict[str, list[Sample]] = {}
        if (path := self._manifest_of(split)) is not None:
            for sample in Manifest.read(path).samples:
                by_shard.setdefault(sample.shard, []).append(sample)
        return by_shard

    def _samples(self, path: Path, listed: list[Sample], expected: int | None) -> Sequence[Sample]:
        skip = self.on_bad_sample == "skip"
        found = self._listed(path, listed) if listed else scan_shard(path, keep_going=skip)
        if expected is not None and len(found) != expected and not (skip and len(found) < expected):
            last = f", the last with key {found[-1].key!r}" if found else ""
            raise InputError(
                f"shard {path} holds {len(found)} samples{last}, but _info.json says {expected}: "
                "fetch or pack it again, or count and skip what is lost with --on-bad-sample skip"
            )
        return found

    def _listed(self, path: Path, listed: list[Sample]) -> Sequence[Sample]:
        """The packed samples that lie inside the shard: all of them, unless it is cut off and that is skipped."""
        size = path.stat().st_size
        inside = [sample for sample in listed if sample.offset + sample.size <= size]
        if len(inside) < len(listed) and self.on_bad_sample == "raise":
            scan_shard(path, fresh=True)  # names the last good key
            raise InputError(
                f"shard {path} is shorter than its packed manifest says, and whole: it is another shard; pack it again"
            )
        return inside


def _open_shards(spec: DatasetSpec, split: str, read: _Reader, seed: int, calibration: int | None) -> ImageSource:
    splits, base = read.location.splits, read.location.base
    if split not in ("train", "calibration"):
        drawn_too = ["calibration"] if "train" in splits and "calibration" not in splits else []
        split = find_split(split, [*splits, *drawn_too], spec.name)
    if split not in ("train", "calibration") or "calibration" in splits:
        split = find_split(split, splits, spec.name)
        return read(splits[split], splits[split].filenames)
    if "train" not in splits:
        raise InputError(
            f"{base} has no train split (only {', '.join(splits)}), and {split} is taken from it: "
            "thresholds are never solved on validation; add the train shards"
        )
    train = splits["train"]
    if train.num_samples is None:  # not counted: sizes and fractions need the whole split
        whole = read(train, train.filenames)
        size, drawn_from = calibration_size(whole.expected, calibration), train.filenames
    else:
        size = calibration_size(train.num_samples, calibration)
        drawn_from = calibration_shards(train, size, seed)
        whole = read(train, train.filenames if split == "train" else drawn_from)
    shards = set(drawn_from)
    held_out = calibration_keys([s.key for s in whole.manifest.samples if s.shard in shards], size, seed)
    chosen = [i for i, s in enumerate(whole.manifest.samples) if (s.key in held_out) == (split == "calibration")]
    return dataclasses.replace(whole.subset(chosen), split=split, lost=whole.lost if split == "train" else 0)
