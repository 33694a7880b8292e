"""Pre-computed sets of corrupted images: ``corruption/severity/class/image``, or shards in ``corruption/severity``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.data.class_order import order_classes
from dynvit.data.corruptions.catalogue import corruptions
from dynvit.data.corruptions.loading import Variant
from dynvit.data.datasets import DatasetSpec
from dynvit.data.image_kinds import called_an_image
from dynvit.data.images import UndecodableError, decode_image
from dynvit.data.listing import some
from dynvit.data.manifest import Manifest, Sample
from dynvit.data.opening import open_split
from dynvit.data.source import (
    BadSampleError,
    ChangedSampleError,
    Example,
    ImageSource,
    ManifestSource,
    OnBadSample,
)
from dynvit.data.splits import ranked
from dynvit.errors import InputError

_WNIDS = 1000  # classes of ImageNet-1k, whose folders are named by WordNet ids


@dataclass(frozen=True)
class FolderSource(ManifestSource):
    """Images in class folders under ``root``; a sample's ``shard`` is its path from there."""

    root: Path = dataclasses.field(kw_only=True)

    def read(self, index: int) -> Example:
        """Decode one image to RGB. Raises: ``BadSampleError``, ``ChangedSampleError``."""
        sample = self.manifest.samples[index]
        path = self.root / sample.shard
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"image {path} cannot be read: {error.strerror or error}") from error
        try:
            image = decode_image(content)
        except UndecodableError as error:
            raise BadSampleError(
                f"image {path} cannot be decoded ({error}): fetch it again, or count and skip such images "
                "with --on-bad-sample skip"
            ) from error
        if len(content) != sample.size:  # such sets come without hashes
            raise ChangedSampleError(f"image {path} has changed while it was in use: run the command again")
        return Example(sample.key, sample.label, image)


def open_precomputed(
    folder: Path,
    spec: DatasetSpec,
    split: str,
    variants: Sequence[Variant],
    measured: ImageSource,
    limit: int,
    seed: int,
) -> dict[Variant, ImageSource]:
    """The set's images of each variant: those of ``measured`` where the names agree, else a fair draw of ``limit``.

    Raises: ``InputError`` naming the corruptions, severities, classes or images that are missing.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {str(folder)!r}: --corrupted-dir must be a folder of corruption/severity/class")
    places = {variant: _place(folder, variant) for variant in variants}
    missing = [f"{variant.corruption}/{variant.severity}" for variant, place in places.items() if place is None]
    if missing:
        raise InputError(
            f"{folder} lacks {some(missing)}: fetch the whole set, or choose with --corruptions and --severities"
        )
    found = {variant: place for variant, place in places.items() if place is not None}
    classes = _classes(folder, found.values(), spec)
    sources: dict[Variant, ImageSource] = {}
    for variant, place in found.items():
        if _has_shards(place):
            source = open_split(
                spec, split, data_dir=place, seed=seed, on_bad_sample=measured.on_bad_sample, quiet=True
            )
        else:
            source = _open_classes(place, spec, split, classes, measured.on_bad_sample)
        sources[variant] = _matched(source, measured, place, limit, seed)
    return sources


def _place(folder: Path, variant: Variant) -> Path | None:
    """ImageNet-C unpacks with or without the folders of its groups."""
    name, group = variant.corruption, corruptions.get(variant.corruption).group
    for place in (folder / name, folder / group / name):
        if (place / str(variant.severity)).is_dir():
            return place / str(variant.severity)
    return None


def _has_shards(place: Path) -> bool:
    return (place / "_info.json").is_file() or next(place.glob("*.tar"), None) is not None


def _folders(place: Path) -> set[str]:
    return {entry.name for entry in place.iterdir() if entry.is_dir()}


def _classes(folder: Path, places: Iterable[Path], spec: DatasetSpec) -> list[str]:
    """The names of the class folders in the order of the labels.

    Raises: ``InputError`` where a place lacks one, or there are too many or too few.
    """
    there = {place: _folders(place) for place in places if not _has_shards(place)}
    expected = _expected_classes(spec) or set().union(*there.values())
    for place, names in there.items():
        where = place.relative_to(folder)
        if lacking := sorted(expected - names):
            raise InputError(f"{folder} lacks {len(lacking)} of {len(expected)} classes in {where}: {some(lacking)}")
        if extra := sorted(names - expected):
            raise InputError(f"{folder} has folders in {where} that are not classes of {spec.name}: {some(extra)}")
    if there and len(expected) != spec.num_classes:
        raise InputError(
            f"{folder} has {len(expected)} class folders, {spec.name} has {spec.num_classes} classes: "
            "fetch the whole set, or give the dataset that it was made from"
        )
    if expected == set(spec.class_names):
        return list(spec.class_names)
    return sorted(expected, key=order_classes({name: str(folder) for name in expected}).labels.__getitem__)


def _expected_classes(spec: DatasetSpec) -> set[str]:
    if spec.name == "imagenet" and spec.num_classes == _WNIDS:
        from timm.data import ImageNetInfo

        return set(ImageNetInfo("imagenet-1k").label_names())
    return set(spec.class_names)


def _open_classes(
    place: Path, spec: DatasetSpec, split: str, classes: Sequence[str], on_bad_sample: OnBadSample
) -> FolderSource:
    samples = tuple(_samples(place, classes))
    for name, label in zip(classes, range(len(classes)), strict=True):
        if not any(sample.label == label for sample in samples):
            raise InputError(f"class folder {place / name} holds no image: fetch the set again")
    return FolderSource(spec, split, Manifest(samples).unique_keys(), on_bad_sample, root=place)


def _samples(place: Path, classes: Sequence[str]) -> Iterator[Sample]:
    for label, name in enumerate(classes):
        for file in sorted((place / name).iterdir()):
            if called_an_image(file.name) and not file.name.startswith("."):
                yield Sample(f"{name}/{file.name}", file.stem, label, 0, file.stat().st_size, "")


def _matched(source: ImageSource, measured: ImageSource, place: Path, limit: int, seed: int) -> ImageSource:
    """The measured images in the set, matched by the last part of their names."""
    wanted = [sample.key.rpartition("/")[2] for sample in measured.manifest.samples]
    there = {sample.key.rpartition("/")[2]: index for index, sample in enumerate(source.manifest.samples)}
    lacking = [name for name in wanted if name not in there]
    if len(lacking) == len(wanted):  # other names throughout: images cannot be matched
        return source.subset(ranked([s.key for s in source.manifest.samples], seed, "limit")[:limit])
    if lacking:
        raise InputError(f"{place} lacks {len(lacking)} of the {len(wanted)} images that are measured: {some(lacking)}")
    for name, sample in zip(wanted, measured.manifest.samples, strict=True):
        found = source.manifest.samples[there[name]]
        if found.label != sample.label:
            raise InputError(
                f"image {name} has class {found.label} in {place} and class {sample.label} in the split: "
                "the classes are in another order, or it is another dataset"
            )
    matched = source.subset(there[name] for name in wanted)
    # Under the split's names, so that per-sample results can be paired.
    pairs = zip(matched.manifest.samples, measured.manifest.samples, strict=True)
    named = Manifest(tuple(dataclasses.replace(found, key=sample.key) for found, sample in pairs))
    renamed: ImageSource = dataclasses.replace(matched, manifest=named)  # type: ignore[type-var]
    return renamed
