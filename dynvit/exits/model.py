"""Exits run in order, each costs more, and an image leaves at the first that is sure enough of it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from dynvit import cost
from dynvit.errors import InputError
from dynvit.exits.thresholds import Confidences, Row
from dynvit.finite import check_logits
from dynvit.interface import Batch, DynamicModel, OperatingPoint, Part, Prediction, Rule, Usage
from dynvit.ops.exits import exit_probabilities, mixture
from dynvit.units import GIGA

THRESHOLD = "threshold_{}"
BELOW_ONE = 1 - torch.finfo(torch.float32).eps / 2  # so that some threshold lets the surest image leave
SLACK = 1e-9  # a budget that is a cost written as text and read again still covers that cost


@dataclass(frozen=True)
class ExitPrediction(Prediction):
    """The logits and scores of each exit.

    Shape: ``exit_logits`` (exits, B, classes) and ``scores`` (exits − 1, B); NaN where an image had left before.
    """

    exit_logits: Tensor
    scores: Tensor


@dataclass(frozen=True, eq=False)
class ExitWork:
    """One piece of an exit's work, for the images that reached the exit."""

    name: str
    work: tuple[Part, ...]
    reached: Tensor

    def macs(self, rule: Rule) -> Tensor:
        """Shape: (B,). Units: MACs."""
        return self.reached * _sum(self.work, rule)


class ExitingModel(DynamicModel):
    """Runs exits on ever fewer images. A subclass says what an exit is, how sure it is, and when that is enough.

    It overrides ``run_exit``, ``score``, ``leaves``, ``solved`` and ``solved_for_accuracy``, and calls ``count`` when
    it is made. Where scores are no confidences in [0, 1] it also overrides ``confidence_of`` and ``point_of``. What an
    exit hands on to the next has a method ``of(images)`` that gives the same for some of the images, by index.
    """

    supports = frozenset({"budgets", "accurate budgets", "frozen gates", "surrogate logits", "compute proxy"})
    solves_unlabelled = True
    step: ClassVar[str] = "exit"
    """What people call an exit."""
    allowed: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The least and the greatest threshold."""
    keeps: ClassVar[float] = 1.0
    """The threshold that keeps every image."""
    precision: ClassVar[torch.dtype] = torch.float32
    """The type in which thresholds are solved."""

    def count(self, name: str, parts: Sequence[Sequence[Part]]) -> None:
        """Say what each exit costs an image that reaches it; ``name`` begins the names of its parts."""
        self._work = tuple(_grouped(f"{name}.{index}", each) for index, each in enumerate(parts))

    @abstractmethod
    def run_exit(self, index: int, images: Tensor, handed: Any, *, executed: bool) -> tuple[Tensor, Any]:
        """Logits, and what the next exit may use; ``handed`` is None at the first. ``executed``: no gradient is needed.

        Shape: images (B, 3, H, W) → logits (B, classes).
        """

    @abstractmethod
    def score(self, exit_logits: Tensor, images: Tensor) -> Tensor:
        """How sure the latest exit is. Shape: exit_logits (exits so far, B, classes), images (B, 3, H, W) → (B,)."""

    @abstractmethod
    def leaves(self, scores: Tensor, thresholds: Tensor) -> Tensor:
        """Whether an image leaves. Shape: scores (…, B) and thresholds (…, 1), which broadcast, → bool."""

    @abstractmethod
    def solved(self, known: Confidences, budgets: Sequence[float]) -> Sequence[Row]:
        """Thresholds, as confidences, for each budget, of one family along which compute rises. Units: MACs."""

    @abstractmethod
    def solved_for_accuracy(self, known: Confidences, budgets: Sequence[float]) -> Sequence[Row]:
        """The same, of the highest accuracy. Units: MACs."""

    def bounded(self, scores: Tensor) -> Tensor:
        """Scores as they are compared with thresholds."""
        return scores

    def confidence_of(self, scores: Tensor) -> Tensor:
        """Scores or thresholds as confidences in [0, 1], of which 1 is never reached."""
        return scores

    def point_of(self, confidences: Row) -> OperatingPoint:
        """The point whose thresholds are these confidences."""
        return OperatingPoint(**{THRESHOLD.format(k + 1): float(t) for k, t in enumerate(confidences)})

    def forward(self, images: Tensor, point: OperatingPoint) -> ExitPrediction:
        """All exits, differentiable; answer and usage are those of the exit at which each image would leave.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        thresholds, handed = self.thresholds([point]), None
        exit_logits: list[Tensor] = []
        scores: list[Tensor] = []
        for index in range(len(self._work)):
            logits, handed = self.run_exit(index, images, handed, executed=False)
            exit_logits.append(logits)
            if index < len(self._work) - 1:
                with torch.no_grad():
                    scores.append(self.bounded(self.score(torch.stack(exit_logits).detach(), images)))
        return self._answer(torch.stack(exit_logits), torch.stack(scores), thresholds[0])

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> ExitPrediction:
        """``forward``, answered by the exits of an earlier prediction.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        assert decided.usage.exit is not None
        found = self.forward(images, point)
        return self._at(found.exit_logits, found.scores, decided.usage.exit)

    def surrogate_logits(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        """The exits' mean prediction, weighted by how near the image is to leaving at each.

        Shape: images (B, 3, H, W) → logits (B, classes).
        """
        assert isinstance(prediction, ExitPrediction)
        return mixture(prediction.exit_logits, self._leaving(images, point, prediction.exit_logits))

    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        """The expected cost, with the probability of leaving at each exit that its score gives.

        Shape: images (B, 3, H, W) → (B,), float64. Units: MACs.
        """
        assert isinstance(prediction, ExitPrediction)
        leaving = self._leaving(images, point, prediction.exit_logits)
        return (leaving * leaving.new_tensor(self.exit_macs())[:, None]).sum(0)

    def _leaving(self, images: Tensor, point: OperatingPoint, exit_logits: Tensor) -> Tensor:
        # In float64: a confidence that rounds to 1 in float32 has no gradient, and an attack would not move.
        wide = exit_logits.double()
        scores = torch.stack([self.score(wide[: index + 1], images) for index in range(len(exit_logits) - 1)])
        limits = self.confidence_of(self.thresholds([point])[0].to(wide)).clamp(0, 1)
        return exit_probabilities(self.confidence_of(scores), limits)

    @torch.no_grad()
    def predict(self, images: Tensor, point: OperatingPoint) -> ExitPrediction:
        """The batch shrinks after every exit; images that left cost nothing more.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        return next(self.sweep(images, [point]))

    def sweep(self, images: Tensor, points: Sequence[OperatingPoint]) -> Iterator[ExitPrediction]:
        """``predict`` at each point, from one pass: an exit runs on the images that have not left at every point."""
        with torch.no_grad():
            thresholds = self.thresholds(points)
            exit_logits, scores = self._pass(
                images, lambda index, scores: self.leaves(scores, thresholds[:, index, None].to(scores))
            )
            for row in thresholds:
                yield self._answer(exit_logits, scores, row)

    def confidences(self, batches: Iterable[Batch]) -> Confidences:
        """Every exit's confidence, and whether it is correct, on labelled images: thresholds are solved from these."""
        scores, correct, last = [], [], []
        with torch.no_grad():
            for batch in batches:
                exit_logits, found = self._pass(
                    batch.images, lambda _, scores: torch.zeros_like(scores, dtype=torch.bool)[None]
                )
                for logits in exit_logits:
                    check_logits(logits, f"{_an(self.step)} of the model, while thresholds are solved,")
                scores.append(self._solving(found))
                last.append(self._solving(self.bounded(self.score(exit_logits, batch.images))))
                correct.append((exit_logits.argmax(-1) == batch.labels).cpu())
        if not scores:
            raise InputError("thresholds are solved on calibration images, and there are none: give a larger split")
        return Confidences(
            torch.cat(scores, 1).numpy(), torch.cat(correct, 1).numpy(), self.exit_macs(), torch.cat(last).numpy()
        )

    def _solving(self, scores: Tensor) -> Tensor:
        return self.confidence_of(scores.to(self.precision)).clamp(0, BELOW_ONE).cpu()

    def feasible_range(self, calibration: Sequence[Batch]) -> tuple[float, float]:
        """The costs of the first exit and of all of them. Units: MACs per image."""
        costs = self.exit_macs()
        return float(costs[0]), float(costs[-1])

    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        """For each budget thresholds of one family, which looks at scores and costs alone.

        Units: MACs per image. Raises: ``InputError`` for a budget outside the feasible range.
        """
        return self._points(self.solved, budgets, calibration)

    def solve_for_accuracy(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        """For each budget the thresholds of the highest accuracy on the calibration images.

        Units: MACs per image. Raises: ``InputError`` for a budget outside the feasible range.
        """
        return self._points(self.solved_for_accuracy, budgets, calibration)

    def _points(
        self,
        solver: Callable[[Confidences, Sequence[float]], Sequence[Row]],
        budgets: Sequence[float],
        calibration: Sequence[Batch],
    ) -> list[OperatingPoint]:
        low, high = self.feasible_range(calibration)
        for budget in budgets:
            if not low * (1 - SLACK) <= budget <= high * (1 + SLACK):
                raise InputError(
                    f"a budget of this cascade must be {low / GIGA:.4g} GMACs (its first {self.step}) to "
                    f"{high / GIGA:.4g} (all {self.step}s), got {budget / GIGA:.4g}"
                )
        found = self.confidences(calibration)
        return [self.point_of(row) for row in solver(found, [budget * (1 + SLACK) for budget in budgets])]

    def exit_macs(self, rule: Rule = "matmul+conv") -> tuple[int, ...]:
        """The cost of an image that leaves at each exit, the exits before it included. Units: MACs."""
        return tuple(
            sum(_sum(part.work, rule) for parts in self._work[: index + 1] for part in parts)
            for index in range(len(self._work))
        )

    def thresholds(self, points: Sequence[OperatingPoint]) -> Tensor:
        """The points' thresholds. Shape: (P, exits − 1), float64.

        Raises: ``InputError`` for a threshold that is missing, unknown or out of range.
        """
        names = [THRESHOLD.format(index + 1) for index in range(len(self._work) - 1)]
        low, high = self.allowed
        span = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"{low:g} or more"
        for point in points:
            if set(point) != set(names):
                raise InputError(
                    f"a point of a cascade of {len(self._work)} {self.step}s must set {', '.join(names)}, each {span}; "
                    f"got {', '.join(point) or 'nothing'}"
                )
        rows = [[point.number(name) for name in names] for point in points]
        for point in points:
            for name in names:
                if not low <= point.number(name) <= high:
                    raise InputError(
                        f"{name} must be {span}, where {self.keeps:g} keeps every image; got {point.number(name)}"
                    )
        return torch.tensor(rows, dtype=torch.float64)

    def _pass(self, images: Tensor, left: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Run the exits on ever fewer images: until ``left(exit, scores)`` (P, b) was true at each point."""
        count, exits = len(images), len(self._work)
        alive = torch.arange(count, device=images.device)
        gone = torch.zeros(1, count, dtype=torch.bool, device=images.device)
        exit_logits = images.new_full((exits, count, self.backbone.num_classes), torch.nan)  # type: ignore[arg-type]
        scores = images.new_full((exits - 1, count), torch.nan)
        handed, seen = None, images
        for index in range(exits):
            logits, handed = self.run_exit(index, seen, handed, executed=True)
            exit_logits[index, alive] = logits.to(exit_logits)
            if index == exits - 1:
                break
            score = self.bounded(self.score(exit_logits[: index + 1, alive], seen)).to(scores)
            scores[index, alive] = score
            gone = gone | left(index, score)
            stay = (~gone.all(0)).nonzero()[:, 0]
            if len(stay) == 0:
                break
            if len(stay) < len(alive):
                alive, seen, gone, handed = alive[stay], seen[stay], gone[:, stay], handed.of(stay)
        return exit_logits, scores

    def _answer(self, exit_logits: Tensor, scores: Tensor, thresholds: Tensor) -> ExitPrediction:
        count = exit_logits.shape[1]
        gone = self.leaves(scores, thresholds[:, None].to(scores))
        return self._at(exit_logits, scores, torch.cat([gone, gone.new_ones(1, count)]).int().argmax(0))

    def _at(self, exit_logits: Tensor, scores: Tensor, chosen: Tensor) -> ExitPrediction:
        count = len(chosen)
        logits = exit_logits[chosen, torch.arange(count, device=exit_logits.device)]
        parts = tuple(
            ExitWork(work.name, work.work, (chosen >= index).long())
            for index, works in enumerate(self._work)
            for work in works
        )
        return ExitPrediction(logits, Usage(count, parts, exit=chosen), exit_logits, scores)


@dataclass(frozen=True)
class _Work:
    name: str
    work: tuple[Part, ...]


def _grouped(name: str, parts: Sequence[Part]) -> tuple[_Work, ...]:
    """An exit's parts by the first piece of their names: few enough to multiply for every batch."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.name.split(".")[0], []).append(part)
    return tuple(_Work(f"{name}.{piece}", tuple(group)) for piece, group in groups.items())


def _an(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


@lru_cache(maxsize=1024)
def _sum(work: tuple[Part, ...], rule: Rule) -> int:
    return int(cost.macs(Usage(1, work), rule))
