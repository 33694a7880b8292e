"""Images by index: random access to a manifest's samples, safe in any number of processes and workers."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self

from PIL import Image, UnidentifiedImageError

from dynvit.data.datasets import DatasetSpec
from dynvit.data.manifest import Manifest
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
    """A sample whose image cannot be read: one line that names shard and key."""


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
        """Decode one image. Raises: ``BadSampleError``."""

    def subset(self, indices: Iterable[int]) -> Self:
        """The same source with these samples only, in this order."""


UNREADABLE = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError)
"""What Pillow raises for a file that is not a complete image."""


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
    """Samples in WebDataset shards, read by offset. ``paths`` gives each shard's local file."""

    paths: dict[str, Path] = dataclasses.field(default_factory=dict)

    def read_bytes(self, index: int) -> bytes:
        """The encoded image. Raises: ``BadSampleError`` where the shard ends before it."""
        sample = self.manifest.samples[index]
        # Opened each time: costs microseconds, and no handle is shared over a fork or kept for 1,024 shards.
        with self.paths[sample.shard].open("rb") as file:
            file.seek(sample.offset)
            content = file.read(sample.size)
        if len(content) < sample.size:
            raise BadSampleError(
                f"shard {self.paths[sample.shard]}, key {sample.key!r}: the shard ends before its image"
            )
        return content

    def read(self, index: int) -> Example:
        """Decode one image to RGB. Raises: ``BadSampleError``."""
        sample = self.manifest.samples[index]
        content = self.read_bytes(index)
        try:
            with Image.open(io.BytesIO(content)) as image:
                return Example(sample.key, sample.label, image.convert("RGB"))
        except UNREADABLE as error:
            # PIL's message has the address of a buffer, which differs from run to run.
            reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
            raise BadSampleError(
                f"shard {self.paths[sample.shard]}, key {sample.key!r} cannot be decoded ({reason}): "
                "pack or fetch the shard again, or count and skip such samples with --on-bad-sample skip"
            ) from error


@dataclass(frozen=True, eq=False)
class ArraySource(ManifestSource):
    """Samples in memory: ``images`` is uint8 (N, H, W, 3), and a sample's offset is its row."""

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
