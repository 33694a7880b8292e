"""The half of a measurement that measures. It may import torch; the half that says what came out may not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.record import Frozen
from dynvit.measurements.task import MeasuredPoint, Share, Task
from dynvit.settings import Settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from dynvit.data.source import ImageSource
    from dynvit.interface import DynamicModel
    from dynvit.measurements.run import Run
    from dynvit.measurements.runner import Runner
    from dynvit.progress import Progress
    from dynvit.session import OpenModel, Session

TaskT = TypeVar("TaskT", bound=Task)
ShareT = TypeVar("ShareT", bound=Share)
ResultT = TypeVar("ResultT", bound=Frozen)
SettingsT = TypeVar("SettingsT", bound=Settings)


class Measurer(ABC, Generic[SettingsT, TaskT, ShareT, ResultT]):
    """Measures as its settings say. ``needs`` are the capabilities without which a model is skipped."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    def check(self, session: Session, source: ImageSource) -> None:
        """Find what is wrong before anything is written. ``source``: the reported images. Raises: ``InputError``."""

    def check_model(self, label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]) -> None:
        """The same for one model, before it is trained. Raises: ``InputError`` that names it."""

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """Lines of ``--dry-run``."""
        yield "every point of each model"

    def misfit(self, opened: OpenModel) -> str | None:
        """Why this model cannot be measured so, for people; None where it can."""
        missing = sorted(self.needs - opened.supports)
        return f"it does not support {' and '.join(missing)}" if missing else None

    def images_through(self, session: Session, source: ImageSource, points: int) -> float | None:
        """About how many images go through a model that has so many points, a gradient counting as two more.

        For ``dynvit plan``; None: nobody can tell.
        """
        return points * len(source)

    @abstractmethod
    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> Iterable[TaskT]:
        """What there is to measure of the points. Those of one model follow each other.

        What a model gives may depend on the static model's points, and on no other model's: a bench may be divided.
        """

    @abstractmethod
    def measure(self, tasks: Sequence[TaskT], run: Run, progress: Progress) -> Iterator[tuple[TaskT, ShareT]]:
        """Measure this process's share of each task, in any order that all processes agree on.

        Advances ``progress`` by each task's ``work``.
        """

    @abstractmethod
    def result(self, task: TaskT, share: ShareT, run: Run) -> ResultT:
        """What is written of a task; ``share`` is all processes' together."""

    def done(self, line: FollowUp[ResultT]) -> bool:
        """Whether a line is as good as can be; one that is not is measured again."""
        return True

    def better(self, task: TaskT, share: ShareT, line: FollowUp[ResultT]) -> bool:
        """Whether a new result takes the place of a line that was not ``done``."""
        return True

    def estimate(self, tasks: Sequence[TaskT], run: Run) -> str | None:
        """What is about to be measured and about how long it takes, for people; None: the progress tells."""
        return None

    def objective(self, at: MeasuredPoint, runner: Runner) -> float | None:
        """What a search maximises of this measurement beside accuracy; None: nothing. Measures what is missing."""
        return None

    def search_identity(self) -> dict[str, Any]:
        """The settings by their flat names where a search depends on them; else nothing."""
        return {}
