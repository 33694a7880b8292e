"""Decodes lists of indices to arrays of pixels, in this process or in workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from dynvit.data.source import BadSampleError, ImageSource
from dynvit.data.transforms import PixelTransform, random_states_kept, seed_cpu
from dynvit.errors import InputError


class Work(NamedTuple):
    """What to decode for one batch. ``seeds`` gives each image its random state, for random transforms."""

    indices: Sequence[int]
    seeds: Sequence[int] | None = None


class Decoded(NamedTuple):
    """One batch, without the samples that could not be read.

    Shape: ``images`` uint8 (n, 3, H, W); ``positions`` says which of the work's indices these are. ``bad`` maps
    the others' ids to the reason. ``refused`` is why the work was broken off: a value, since an error that is raised
    in a worker would arrive with a traceback in its message.
    """

    positions: list[int]
    images: NDArray[np.uint8]
    bad: dict[str, str]
    refused: str = ""


class _Decoder(Dataset[Decoded]):
    def __init__(self, source: ImageSource, transform: PixelTransform, work: Sequence[Work]) -> None:
        self.source, self.transform, self.work = source, transform, work

    def __len__(self) -> int:
        return len(self.work)

    def __getitem__(self, batch: int) -> Decoded:
        work = self.work[batch]
        if work.seeds is None:
            return self._decoded(work)
        with random_states_kept():
            return self._decoded(work)

    def _decoded(self, work: Work) -> Decoded:
        indices, seeds = work
        positions, images, bad, refused = [], [], {}, ""
        for position, index in enumerate(indices):
            try:
                image = self.source.read(index).image
            except BadSampleError as error:
                bad[self.source.manifest.samples[index].key] = str(error)
                if self.source.on_bad_sample == "skip":
                    continue
                refused = str(error)
                break
            except InputError as error:
                refused = str(error)
                break
            if seeds is not None:
                seed_cpu(seeds[position])
            positions.append(position)
            images.append(self.transform(image).numpy())
        stacked = np.stack(images) if images else np.zeros((0, 3, 0, 0), np.uint8)
        return Decoded(positions, stacked, bad, refused)


def _as_is(batch: Any) -> Any:
    return batch


def decode(source: ImageSource, transform: PixelTransform, work: Sequence[Work], workers: int = 0) -> Iterator[Decoded]:
    """Decode each batch of ``work``, in order, in ``workers`` processes beside this one (0: in this one).

    Workers return arrays, not tensors: tensors would be in shared memory, of which containers have little.

    Raises: ``InputError`` naming shard and key of a bad sample, unless the source says skip; and of one that is another
    image than listed, in any case.
    """
    loader: DataLoader[Decoded] = DataLoader(
        _Decoder(source, transform, work),
        batch_size=None,
        num_workers=min(workers, len(work)),
        collate_fn=_as_is,
        generator=torch.Generator(),  # not the global one, which the model uses
    )
    for decoded in loader:
        if decoded.refused:
            raise InputError(decoded.refused)
        yield decoded
