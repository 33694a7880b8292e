"""Robustness: accuracy and compute under attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.follow_up import from_version_1
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.record import JsonObject, Record
from dynvit.measurements.base import MeasuredPoint, Measurement, by_model, choose_points
from dynvit.measurements.robustness.result import RENAMED, RobustnessResult
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.summary import RobustnessOverview, RobustnessSummary, robust_fronts, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution
    from rich.table import Table

    from dynvit.data.source import ImageSource
    from dynvit.interface import DynamicModel
    from dynvit.measurements.robustness.tasks import AttackTask
    from dynvit.measurements.robustness.under_attack import AttackResults
    from dynvit.measurements.run import Run
    from dynvit.measurements.runner import Runner
    from dynvit.progress import Progress
    from dynvit.session import Session


class Robustness(Measurement[RobustnessSettings, "AttackTask", "AttackResults", RobustnessResult, RobustnessSummary]):
    """Every attack through every variant that a model supports, at a few points of its front."""

    name = "robustness"
    summary = "accuracy and compute under attack, within bounds on the change of pixels"
    Settings = RobustnessSettings
    Result = RobustnessResult
    Summary = RobustnessSummary
    Overview = RobustnessOverview
    unit = "passes"
    searchable = True
    higher_is_better: ClassVar[Mapping[str, bool]] = {"accuracy_pct": True, "saving_lost_pct": False}

    def check(self, session: Session, source: ImageSource) -> None:
        """Raises: ``InputError`` for an attack, a preset or a setting that there is not."""
        self.settings.specs(session.dataset)

    def check_model(self, label: str, model: DynamicModel, knobs: Mapping[str, BaseDistribution]) -> None:
        """Raises: ``InputError`` for a model that gives gradient attacks no gradient, naming where it is cut."""
        from dynvit.measurements.robustness.gradient import check_some_point
        from dynvit.measurements.robustness.specs import attacks_named

        if any(not attack.black_box for attack in attacks_named(self.settings.attacks)):
            check_some_point(label, model, knobs)

    def plan(self, session: Session, source: ImageSource) -> Iterator[str]:
        """Which attacks, on how much."""
        from dynvit.measurements.robustness.table import radius

        settings = self.settings
        specs = settings.specs(session.dataset)
        said = ", ".join(f"{spec.name} {radius(spec.threat.norm, spec.threat.eps)}" for spec in specs)
        each = f"{settings.points} point{'' if settings.points == 1 else 's'} of each model"
        checks = ", with checks for masked gradients" if settings.masking_checks else ""
        yield f"robustness: {said}"
        yield f"  on {min(settings.limit, len(source)):,} images at {each}, in every variant{checks}"

    def tasks(self, points: Sequence[MeasuredPoint], run: Run) -> list[AttackTask]:
        """Every attack on a few points of each model."""
        from dynvit.measurements.robustness.measure import planner_for

        if not points:
            return []
        planner = planner_for(self.settings, run)
        models = list(by_model(points))
        source = next((own[0] for own in models if own[0].opened.method.static), None)
        count = None if self.settings.points == "all" else self.settings.points
        chosen = [at for own in models for at in choose_points(own, count)]
        return list(planner.plan(chosen, source))

    def measure(
        self, tasks: Sequence[AttackTask], run: Run, progress: Progress
    ) -> Iterator[tuple[AttackTask, AttackResults]]:
        """This process's share of each attack."""
        from dynvit.measurements.robustness.measure import measure

        return measure(tasks, self.settings, run, progress)

    def result(self, task: AttackTask, share: AttackResults, run: Run) -> RobustnessResult:
        """What is written of an attack."""
        from dynvit.measurements.robustness.measure import result_of

        return result_of(task, share, run)

    def estimate(self, tasks: Sequence[AttackTask], run: Run) -> str:
        """How many attacks, and at most about how long."""
        from dynvit.measurements.robustness.measure import estimate

        return estimate(tasks, self.settings, run)

    def objective(self, at: MeasuredPoint, runner: Runner) -> float:
        """Accuracy under one attack through the gates, the worst of its variants, percent."""
        from dynvit.measurements.robustness.measure import planner_for, worst_pct
        from dynvit.measurements.robustness.specs import search_spec

        spec = search_spec(self.settings.specs(runner.run.session.dataset))
        tasks = list(planner_for(self.settings, runner.run).accuracy(at, spec))
        runner.do([task for task in tasks if task.spec.variant in ("adaptive", "soft")])
        return worst_pct(runner.results(tasks))

    def search_identity(self) -> dict[str, Any]:
        """Everything but the checks, which a search does not run."""
        from dynvit.measurements.asked import flat

        return {name: value for name, value in flat(self.name, self.settings).items() if name != "masking_checks"}

    @classmethod
    def recognises(cls, config: Mapping[str, Any]) -> bool:
        """By what only its configurations have."""
        return config.get("threat") is None and "attack" in config

    @classmethod
    def upgrade(cls, line: dict[str, Any]) -> dict[str, Any] | None:
        """A line of version 1; corruptions stood in the same file."""
        line = from_version_1(line)
        result = line["result"]
        if result.get("norm") is None:
            return None
        return line | {"result": {RENAMED.get(name, name): value for name, value in result.items()}}

    @classmethod
    def summarise(
        cls, records: Sequence[Record], results: Mapping[str, Sequence[RobustnessResult]]
    ) -> Mapping[str, RobustnessSummary | None]:
        """What attacks leave of each record, and signs that they were misled."""
        return summarise(records, results)

    @classmethod
    def overview(cls, entries: Sequence[Entry], board: Leaderboard) -> RobustnessOverview | None:
        """The fronts of three objectives, one for each radius."""
        fronts = tuple(robust_fronts(entries, board))
        return RobustnessOverview(fronts=fronts) if fronts else None

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """A row an entry that was attacked, a column a radius."""
        from dynvit.measurements.robustness.table import robust_table

        overview = board.overview(cls.name, RobustnessOverview)
        shown = robust_table(board, cls.of(board), overview.fronts if overview else ())
        if shown is not None:
            yield shown

    @classmethod
    def notes(cls, board: Leaderboard) -> Iterator[str]:
        """The signs of masked gradients, a line each, with whose they are."""
        names, summaries = point_names(board), cls.of(board)
        for entry in board.entries:
            if entry.record_id in summaries:
                for text in summaries[entry.record_id].masking_signs:
                    yield f"! {entry.method} {names[entry.record_id]}: {text}"

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """Accuracy over GMACs, clean and within each ball."""
        from dynvit.measurements.robustness.figure import draw

        overview = board.overview(cls.name, RobustnessOverview)
        return draw(board, cls.of(board), overview.fronts) if overview else None

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """A line for each entry and ball."""
        from dynvit.measurements.robustness.figure import rows

        overview = board.overview(cls.name, RobustnessOverview)
        return rows(board, cls.of(board), overview.fronts) if overview else []

    @classmethod
    def entry_from_version_1(cls, entry: JsonObject) -> JsonObject | None:
        """``robust``, ``slowdown`` and ``findings`` of an entry."""
        if not entry.get("robust") and not entry.get("slowdown"):
            return None
        slowdown: Any = entry.get("slowdown") or []
        return {
            "accuracy": entry.get("robust") or [],
            "slowdown": [{RENAMED.get(name, name): value for name, value in one.items()} for one in slowdown],
            "masking_signs": entry.get("findings") or [],
        }

    @classmethod
    def overview_from_version_1(cls, board: JsonObject) -> JsonObject | None:
        """``robust_fronts`` of a board."""
        return {"fronts": board["robust_fronts"]} if board.get("robust_fronts") else None
