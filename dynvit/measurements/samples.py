"""A measurement that looks at every point image by image: it says what to keep of an image, and what that comes to.

Importing this imports no torch and no numpy, as ``dynvit.measurements.base`` asks for.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dynvit.leaderboard.record import Frozen, JsonObject
from dynvit.measurements.base import Measurement
from dynvit.measurements.measurer import Measurer
from dynvit.measurements.task import MeasuredPoint, Task
from dynvit.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dynvit.data.source import ImageSource
    from dynvit.measurements.run import Run
    from dynvit.progress import Progress

SettingsT = TypeVar("SettingsT", bound=Settings)
ResultT = TypeVar("ResultT", bound=Frozen)
SummaryT = TypeVar("SummaryT", bound=Frozen)


def each_once(ids: Iterable[str]) -> tuple[tuple[str, ...], list[int]]:
    """The ids sorted, each once, and where each first stands: the same order for any number of processes.

    >>> each_once(["c", "a", "c", "b"])
    (('a', 'b', 'c'), [1, 3, 0])
    """
    first: dict[str, int] = {}
    for place, name in enumerate(ids):
        first.setdefault(name, place)
    ordered = sorted(first)
    return tuple(ordered), [first[name] for name in ordered]


@dataclass(frozen=True)
class SampleValues:
    """Values of each image by name, a row an image, in the order of ``ids``.

    Shape: each of ``values`` (n, …). Units: ``seconds`` in ``SampleMeasurement.per_sample``.
    """

    ids: tuple[str, ...]
    values: Mapping[str, NDArray[Any]]
    seconds: float = 0.0

    def merged(self, others: Iterable[SampleValues]) -> SampleValues:
        """These and the others' rows, each id once, sorted by id: the same for any number of processes.

        >>> import numpy as np
        >>> one, other = SampleValues(("c", "a"), {"x": np.array([3, 1])}), SampleValues(("b",), {"x": np.array([2])})
        >>> one.merged([other]).ids, one.merged([other]).values["x"].tolist()
        (('a', 'b', 'c'), [1, 2, 3])
        """
        import numpy as np

        parts = [self, *others]
        ids, rows = each_once(name for part in parts for name in part.ids)
        filled = [part for part in parts if part.ids]  # a process without a batch knows no names
        names = filled[0].values if filled else ()
        values = {name: np.concatenate([part.values[name] for part in filled])[rows] for name in names}
        return SampleValues(ids, values, max(part.seconds for part in parts))


class SampleMeasurement(Measurement[SettingsT, ResultT, SummaryT], Measurer[SettingsT, Task, SampleValues, ResultT]):
    """Every point of each model, image by image. What is left to say is ``per_sample`` and ``result``.

    It looks at all images that are reported; where ``Settings`` has a ``limit``, at so many, a fair draw of them. All
    other settings are the configuration of each task.
    """

    @abstractmethod
    def per_sample(self, at: MeasuredPoint, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """What is kept of each image of a batch, by name: the same names for every batch. No gradient is kept.

        Shape: images (B, 3, H, W), labels (B,) → each (B, …). Units: pixels in [0, 1].
        """

    def images(self, run: Run) -> ImageSource:
        """The images that it looks at."""
        from dynvit.data.opening import drawn

        limit = getattr(self.settings, "limit", None)
        return run.source if limit is None else drawn(run.source, limit, run.session.data_seed)

    def config(self, images: ImageSource) -> JsonObject:
        """Everything that may change the result. Say more where another version of the package gives other numbers."""
        settings = self.settings.model_dump(mode="json", exclude={"limit"})  # the images say it
        return {"measurement": self.name, "settings": settings, "images": images.manifest.sha256}

    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> Iterator[Task]:
        """One for each point."""
        images = self.images(run)
        for at in points:
            yield Task(at, self.config(images), work=run.batches(at.opened.preprocessing, images).images)

    def measure(self, tasks: Sequence[Task], run: Run, progress: Progress) -> Iterator[tuple[Task, SampleValues]]:
        """This process's images of each task."""
        import torch

        from dynvit.data.pixels import to_pixels

        images = self.images(run)
        for task in tasks:
            opened, parts, seconds = task.at.opened, [SampleValues((), {})], 0.0
            opened.model.to(run.device).eval()
            for batch in run.batches(opened.preprocessing, images):
                pixels, labels = to_pixels(batch.images.to(run.device)), batch.labels.to(run.device)
                start = time.perf_counter()
                with torch.inference_mode():
                    kept = {name: rows.cpu().numpy() for name, rows in self.per_sample(task.at, pixels, labels).items()}
                seconds += time.perf_counter() - start
                parts.append(SampleValues(tuple(batch.ids), kept))
                progress.advance(len(batch.ids), opened.label)
            joined = parts[0].merged(parts[1:])
            yield task, SampleValues(joined.ids, joined.values, seconds)
