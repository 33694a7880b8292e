"""What measures robustness: plans attacks on a few points of each model, and runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynvit.attacks import attacks
from dynvit.measurements.measurer import Measurer
from dynvit.measurements.robustness import measure
from dynvit.measurements.robustness.plan import check_model, images_through, planned
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.tasks import AttackTask, images_of, planner_for, search_tasks
from dynvit.measurements.robustness.under_attack import AttackResults
from dynvit.measurements.task import MeasuredPoint, by_model, choose_points
from dynvit.progress import Progress, clock, counted

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from dynvit.data.source import ImageSource
    from dynvit.interface import DynamicModel
    from dynvit.measurements.run import Run
    from dynvit.measurements.runner import Runner
    from dynvit.session import Session


class AttackMeasurer(Measurer[RobustnessSettings, AttackTask, AttackResults, RobustnessResult]):
    """Every attack through every variant that a model supports, at a few points of its front."""

    def check(self, session: Session, source: ImageSource) -> None:
        """Raises: ``InputError`` for an attack, a preset or a setting that there is not."""
        self.settings.specs(session.dataset)

    def check_model(self, label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]) -> None:
        """Raises: ``InputError`` for a radius that no two of its images are apart, and for a model that gives gradient
        attacks no gradient, naming where it is cut."""
        check_model(self.settings, label, model, knobs)

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """Which attacks, on how much."""
        return planned(self.settings, session, source)

    def images_through(self, session: Session, source: ImageSource, points: int) -> float:
        """The most passes of all attacks, with their gradients."""
        return images_through(self.settings, session, source, points)

    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> list[AttackTask]:
        """Every attack on a few points of each model."""
        if not points:
            return []
        models = list(by_model(points))
        source = next((own[0] for own in models if own[0].opened.method.static), None)
        count = None if self.settings.points == "all" else self.settings.points
        chosen = [at for own in models for at in choose_points(own, count)]
        return list(planner_for(self.settings, run).plan(chosen, source))

    def measure(
        self, tasks: Sequence[AttackTask], run: Run, progress: Progress
    ) -> Iterator[tuple[AttackTask, AttackResults]]:
        """Each attack; transfers last, one attack on the source for all models that share it."""
        few = images_of(self.settings, run)
        for task in tasks:
            if task.source is None:
                yield task, measure.attack_share(task, few, run, progress)
        for group in measure.together(task for task in tasks if task.source is not None):
            yield from measure.transfer_shares(group, few, run, progress)

    def result(self, task: AttackTask, share: AttackResults, run: Run) -> RobustnessResult:
        """What is written of an attack."""
        return measure.result_of(task, share, run)

    def estimate(self, tasks: Sequence[AttackTask], run: Run) -> str:
        """How many attacks, and at most about how long."""
        few = images_of(self.settings, run)
        points = len({task.at.record_id for task in tasks})
        seconds = measure.seconds_a_pass(tasks[0].at, few, run) * sum(task.work for task in tasks)
        return (
            f"robustness: {counted(len(tasks), 'attack')} on {counted(points, 'point')}, {counted(len(few), 'image')}: "
            f"at most about {clock(seconds)}; images that fall early take less"
        )

    def objective(self, at: MeasuredPoint, runner: Runner) -> float:
        """Accuracy under one attack through the gates, the worst of its variants, percent."""
        tasks = search_tasks(self.settings, at, runner.run)
        runner.do([task for task in tasks if task.spec.variant in ("adaptive", "soft")])
        return measure.worst_pct(runner.results(tasks))

    def search_identity(self) -> dict[str, Any]:
        """Everything but the checks, which a search does not run, and the versions of attacks that are one file."""
        flat = {name: value for name, value in self.settings.flat("robustness").items() if name != "masking_checks"}
        files = {name: attacks.file_version(name) for name in self.settings.attacks}
        versions = {f"attack_{name}": version for name, version in files.items() if version is not None}
        return flat | versions
