"""From a dataset's name and a split's name to images: the façade over finding, counting and splitting."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from dynvit.data.datasets import DatasetSpec, datasets
from dynvit.data.locate import Location, locate
from dynvit.data.manifest import Manifest, Sample, SplitInfo
from dynvit.data.scan import scan_shard
from dynvit.data.source import ArraySource, ImageSource, OnBadSample, ShardSource, check_labels
from dynvit.data.splits import calibration_keys, calibration_shards, calibration_size, ranked, stratified
from dynvit.errors import InputError, unknown
from dynvit.progress import Progress

EMBEDDED_VALIDATION = 0.2  # of each class; a set without a validation split of its own gets one by seed


def open_split(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    calibration: int | None = None,
    on_bad_sample: OnBadSample = "raise",
    limit: int | None = None,
) -> ImageSource:
    """Open ``split`` of the dataset ``name``.

    ``train``, ``validation`` and any other split that ``_info.json`` names; ``calibration`` is held out of train:
    ``calibration`` samples (a tenth of train, at most 5,000, where not given), drawn by ``seed``, and ``train`` is
    without them. ``digits`` has no split of its own: a fifth of each class, by seed, is validation.
    ``limit`` keeps the first N of a fixed shuffle by ``seed``, so that it is a fair sample of the split.

    Raises: ``InputError`` for an unknown name or split, missing or truncated shards, samples that are not as
    ``_info.json`` says, labels out of range.
    """
    spec = datasets.get(name)
    if spec.embedded is not None:
        source = _open_embedded(spec, split, seed, calibration)
    else:
        source = _open_shards(spec, split, locate(name, data_dir), seed, calibration, on_bad_sample)
    if limit is None:
        return source
    if limit < 1:
        raise InputError(f"a limit of {limit} images leaves nothing to measure: give 1 or more")
    keys = [sample.key for sample in source.manifest.samples]
    return source if limit >= len(source) else source.subset(ranked(keys, seed, "limit")[:limit])


def split_names(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """The splits that can be opened. Raises: ``InputError`` where the shards are missing."""
    if datasets.get(name).embedded is not None:
        return ["train", "validation", "calibration"]
    found = list(locate(name, data_dir).splits)
    return [*found, "calibration"] if "train" in found and "calibration" not in found else found


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
    if split not in members:
        raise unknown(f"split of {spec.name}", split, members)
    manifest = Manifest(tuple(sample for sample in samples if sample.key in members[split]))
    check_labels(manifest, spec.num_classes)
    return ArraySource(spec, split, manifest, images=images)


def _open_shards(
    spec: DatasetSpec,
    split: str,
    location: Location,
    seed: int,
    calibration: int | None,
    on_bad_sample: OnBadSample,
) -> ImageSource:
    splits = location.splits
    if split not in ("train", "calibration") or "calibration" in splits:
        if split not in splits:
            raise unknown(f"split of {spec.name}", split, splits)
        return _read_split(spec, split, splits[split], splits[split].filenames, location, on_bad_sample)
    if "train" not in splits:
        raise InputError(
            f"{location.base} has no train split (only {', '.join(splits)}), and {split} is taken from it: "
            "thresholds are never solved on validation; add the train shards"
        )
    train = splits["train"]
    if train.num_samples is None:  # nobody has counted: sizes and shares need the whole split
        whole = _read_split(spec, "train", train, train.filenames, location, on_bad_sample)
        size, drawn_from = calibration_size(len(whole), calibration), whole
    else:
        size = calibration_size(train.num_samples, calibration)
        files = calibration_shards(train, size, seed)
        drawn_from = _read_split(spec, "calibration", train, files, location, on_bad_sample)
    held_out = calibration_keys([sample.key for sample in drawn_from.manifest.samples], size, seed)
    whole = drawn_from
    if split == "train" and len(drawn_from.paths) < len(train.filenames):
        whole = _read_split(spec, "train", train, train.filenames, location, on_bad_sample)
    wanted = [i for i, s in enumerate(whole.manifest.samples) if (s.key in held_out) == (split == "calibration")]
    lost = whole.lost if split == "train" else 0
    return dataclasses.replace(whole.subset(wanted), split=split, lost=lost)


def _read_split(
    spec: DatasetSpec,
    split: str,
    info: SplitInfo,
    files: tuple[str, ...],
    location: Location,
    on_bad_sample: OnBadSample,
) -> ShardSource:
    lengths = dict(zip(info.filenames, info.shard_lengths, strict=False))
    packed = location.folder / f"manifest-{info.name}.jsonl" if location.folder else None
    by_shard: dict[str, list[Sample]] = {}
    if packed is not None and packed.is_file():
        for sample in Manifest.read(packed).samples:
            by_shard.setdefault(sample.shard, []).append(sample)
    paths: dict[str, Path] = {}
    samples: list[Sample] = []
    lost = 0
    with Progress(f"reading {spec.name} {split}", len(files), unit="shards") as progress:
        for file in files:
            path = paths[file] = location.shard(file)
            # A packed manifest is believed only while its last sample lies inside the shard.
            listed = by_shard.get(file)
            whole = listed is not None and path.stat().st_size >= listed[-1].offset + listed[-1].size
            found = listed if whole and listed else scan_shard(path, keep_going=on_bad_sample == "skip")
            wanted = lengths.get(file, len(found))
            if len(found) != wanted and not (on_bad_sample == "skip" and len(found) < wanted):
                last = f", the last with key {found[-1].key!r}" if found else ""
                raise InputError(
                    f"shard {path} holds {len(found)} samples{last}, but _info.json says {wanted}: "
                    "fetch or pack it again, or count and skip what is lost with --on-bad-sample skip"
                )
            samples.extend(dataclasses.replace(s, shard=file) for s in found)
            lost += wanted - len(found)
            progress.advance()
    manifest = Manifest(tuple(samples)).unique_keys()
    check_labels(manifest, spec.num_classes)
    return ShardSource(spec, split, manifest, on_bad_sample, lost, paths)
