"""What is measured of which point, and which points a measurement looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.point import OperatingPoint

if TYPE_CHECKING:
    from dynvit.session import OpenModel


class Share(Protocol):
    """What one process measured of a task. Units: ``seconds`` in the model."""

    @property
    def seconds(self) -> float:
        """Time that it took."""
        ...

    def merged(self, others: Iterable[Any]) -> Self:
        """This and what the other processes measured, as if one had measured all."""
        ...


@dataclass(frozen=True)
class MeasuredPoint:
    """An operating point of an open model, and the record of its accuracy and compute.

    ``measured`` is None where accuracy was not measured; the id is known all the same.
    """

    opened: OpenModel
    point: OperatingPoint
    record_id: str
    measured: Record | None = None

    @property
    def record(self) -> Record:
        """The record."""
        assert self.measured is not None, "accuracy was not measured"
        return self.measured


@dataclass(frozen=True)
class Task:
    """One thing to measure of one point.

    ``config`` is everything that may change the result; with the record's id it names the task for ever. ``work`` is
    how much it is for one process, in the measurement's unit.
    """

    at: MeasuredPoint
    config: JsonObject = field(hash=False)
    work: int = field(default=1, kw_only=True)

    @property
    def key(self) -> str:
        """Hash of the record's id and the configuration."""
        return follow_up_key(self.at.record_id, self.config)


def choose_points(points: Sequence[MeasuredPoint], count: int | None) -> list[MeasuredPoint]:
    """Of one model's points those that a measurement looks at, by rising cost; None: all of them.

    They are spread evenly over the model's front, ends included; where the front has fewer than ``count``, over the
    dominated points too. One rule for every measurement, so that what is attacked is also what is timed.
    """
    from dynvit.leaderboard.front import non_dominated

    if count is None or count >= len(points):
        return list(points)
    worth = [(at.record.compute.gmacs_mean, at.record.accuracy.top1_pct) for at in points]
    on_front = non_dominated(worth, minimise=(True, False)).tolist()
    front = _by_cost(at for at, keep in zip(points, on_front, strict=True) if keep)
    dominated = _by_cost(at for at, keep in zip(points, on_front, strict=True) if not keep)
    chosen = _spread(front, count)
    return _by_cost([*chosen, *_spread(dominated, count - len(chosen))])


def _by_cost(points: Iterable[MeasuredPoint]) -> list[MeasuredPoint]:
    return sorted(points, key=lambda at: at.record.compute.gmacs_mean)


def _spread(points: Sequence[MeasuredPoint], count: int) -> list[MeasuredPoint]:
    """``count`` of them at most, evenly from the first to the last; of one, the middle."""
    if count < 1:
        return []
    last = len(points) - 1
    places = [last / 2] if count == 1 else [last * step / (count - 1) for step in range(count)]
    return [points[place] for place in dict.fromkeys(round(place) for place in places)]


def by_model(points: Sequence[MeasuredPoint]) -> Iterator[list[MeasuredPoint]]:
    """The points of each model, in the order in which the models come."""
    labels = dict.fromkeys(at.opened.label for at in points)
    return ([at for at in points if at.opened.label == label] for label in labels)
