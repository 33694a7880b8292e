"""Images by index: random access to a manifest's samples, safe in any number of processes and workers."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self

from PIL import Image

from dynvit.data.datasets import DatasetSpec
from dynvit.data.images import UndecodableError, decode_image
from dynvit.data.manifest import Manifest, Sample
from dynvit.data.remote_shards import RemoteShards
from dynvit.data.scan import forget_scan
from dynvit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OnBadSample = Literal["raise", "skip"]


class Example(NamedTuple):
    """One decoded image, RGB; ``id`` is the sample's key, unique in its split."""

    id: str
    label: int
    image: Image.Image


class BadSampleError(InputError):
    """A sample whose image cannot be read: one line that names shard and key. Such samples may be skipped, counted."""


class ChangedSampleError(InputError):
    """A whole image that is not the one in the manifest. It is never skipped: what else has changed, nobody knows."""


class ImageSource(Protocol):
    """A split to read from by index.

    ``lost`` counts the samples that the split should have and that a truncated shard lacks
    (with ``on_bad_sample="skip"``; otherwise opening it is an error). ``expected`` counts them too.
    """

    @property
    def spec(self) -> DatasetSpec:
        """The dataset."""

    @property
    def split(self) -> str:
        """The split's name."""

    @property
    def manifest(self) -> Manifest:
        """The samples, in reading order."""

    @property
    def on_bad_sample(self) -> OnBadSample:
        """What a loader does with a sample that cannot be read."""

    @property
    def lost(self) -> int:
        """Samples that a truncated shard lacks."""

    @property
    def expected(self) -> int:
        """Samples that the split should hold."""

    def __len__(self) -> int:
        """Samples that can be read."""

    def read(self, index: int) -> Example:
        """Decode one image. Raises: ``BadSampleError``, ``ChangedSampleError``."""

    def subset(self, indices: Iterable[int]) -> Self:
        """The same source with these samples only, in this order."""


@dataclass(frozen=True)
class ManifestSource:
    """What all sources share: a manifest of their samples."""

    spec: DatasetSpec
    split: str
    manifest: Manifest
    on_bad_sample: OnBadSample = "raise"
    lost: int = 0

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def expected(self) -> int:
        """Samples that the split should hold."""
        return len(self.manifest) + self.lost

    def subset(self, indices: Iterable[int]) -> Self:
        """The same source with these samples only, in this order."""
        chosen = Manifest(tuple(self.manifest.samples[i] for i in indices))
        return dataclasses.replace(self, manifest=chosen, lost=0)


@dataclass(frozen=True)
class ShardSource(ManifestSource):
    """Samples in WebDataset shards, read by offset and held to size and SHA-256.

    ``paths`` gives each shard's local file, ``manifests`` the packed manifest that lists its samples; a shard without
    one was scanned. ``remote`` reads those that were fetched: they may be evicted from the cache, and come again.
    """

    paths: dict[str, Path] = dataclasses.field(default_factory=dict)
    manifests: dict[str, Path] = dataclasses.field(default_factory=dict)
    remote: RemoteShards | None = None

    def read_bytes(self, index: int) -> bytes:
        """The encoded image. Raises: ``BadSampleError`` where the shard ends before it."""
        sample = self.manifest.samples[index]
        path = self.paths[sample.shard]
        try:
            if self.remote is not None:
                return self._whole(sample, self.remote.read(sample.shard, sample.size, sample.offset))
            # Opened each time: costs microseconds, and no handle is shared over a fork or kept for 1,024 shards.
            # Python's buffered files would cost four times as much.
            handle = os.open(path, os.O_RDONLY)
            try:
                content = os.pread(handle, sample.size, sample.offset)
            finally:
                os.close(handle)
        except OSError as error:
            raise InputError(f"shard {path} cannot be read: {error.strerror or error}") from error
        return self._whole(sample, content)

    def _whole(self, sample: Sample, content: bytes) -> bytes:
        if len(content) < sample.size:
            where = f"shard {self.paths[sample.shard]}, key {sample.key!r}"
            raise BadSampleError(f"{where}: the shard ends before its image")
        return content

    def read(self, index: int) -> Example:
        """Decode one image to RGB. Raises: ``BadSampleError``, ``ChangedSampleError``."""
        sample = self.manifest.samples[index]
        content = self.read_bytes(index)
        same = hashlib.sha256(content).hexdigest() == sample.sha256
        try:
            image = decode_image(content)
        except UndecodableError as error:
            since = "" if same else ", and its bytes are not those that were listed"
            raise BadSampleError(
                f"shard {self.paths[sample.shard]}, key {sample.key!r} cannot be decoded ({error}{since}): "
                "pack or fetch the shard again, or count and skip such samples with --on-bad-sample skip"
            ) from error
        if not same:
            raise self._changed(sample)
        return Example(sample.key, sample.label, image)

    def _changed(self, sample: Sample) -> ChangedSampleError:
        path = self.paths[sample.shard]
        said = f"shard {path}, key {sample.key!r} is another image than"
        if sample.shard in self.manifests:
            listed = self.manifests[sample.shard]
            return ChangedSampleError(
                f"{said} {listed.name} lists, by its SHA-256: the shard was changed after packing; pack or fetch it "
                f"again (dynvit data check {listed.parent} names every such sample)"
            )
        forget_scan(path)
        return ChangedSampleError(
            f"{said} when the shard was scanned, by its SHA-256: it has changed since; that scan is dropped, run the "
            "command again"
        )


@dataclass(frozen=True, eq=False)
class ArraySource(ManifestSource):
    """Samples in memory: ``images`` is uint8 (N, H, W, 3), and a sample's offset is its row.

    They are not held to the manifest's hashes, which are of these arrays, or of the files that they were decoded from
    and held to.
    """

    images: NDArray[np.uint8] = dataclasses.field(kw_only=True)

    def read(self, index: int) -> Example:
        """One image."""
        sample = self.manifest.samples[index]
        return Example(sample.key, sample.label, Image.fromarray(self.images[sample.offset]))


def check_labels(manifest: Manifest, num_classes: int) -> None:
    """Refuse labels outside 0..num_classes-1.

    Raises: ``InputError`` naming shard, key, label and range.
    """
    for sample in manifest.samples:
        if not 0 <= sample.label < num_classes:
            raise InputError(
                f"shard {sample.shard}, key {sample.key!r}: the label must be 0 to {num_classes - 1}, "
                f"got {sample.label}: check the data set's name and class order"
            )
