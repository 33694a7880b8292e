"""The cascade: exits run in order, and an image leaves at the first exit whose score reaches the threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dynvit import cost
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.finite import check_logits
from dynvit.interface import Batch, DynamicModel, OperatingPoint, Part, Prediction, Rule, Usage
from dynvit.units import GIGA

from .criteria import bounded, criteria, differentiable, leaves
from .exit import Exit
from .options import DVTOptions
from .reuse import Handed
from .soft import exit_probabilities, mixture
from .thresholds import SOLVERS, Confidences, Solver, points_for
from .tokenizer import regrid

THRESHOLD = "threshold_{}"
SLACK = 1e-9  # a budget that is a cost written as text and read again still covers that cost


@dataclass(frozen=True)
class CascadePrediction(Prediction):
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


class Cascade(DynamicModel):
    """Two to four transformers over rising grids of tokens, each reusing features and relations of the one before.

    The exits are ``exits``, the coarsest first; ``backbone`` is the last. A criterion without gradient (``random``,
    ``patience``) leaves the cascade without a compute proxy. Source: arXiv 2105.15075, §3.
    """

    supports = frozenset({"budgets", "accurate budgets", "frozen gates", "surrogate logits", "compute proxy"})
    solves_unlabelled = True

    def __init__(self, template: nn.Module, options: DVTOptions) -> None:
        super().__init__()
        shape = PlainViT(template, needed_by="method dvt").shape
        assert isinstance(template, VisionTransformer)
        self.options, self.criterion = options, criteria.get(options.criterion)
        if not differentiable(self.criterion, template.num_classes):
            self.supports = self.supports - {"compute proxy"}
        grids = options.grids_for(shape.grid[0])
        apart = options.feature_reuse == options.relation_reuse == "off"
        exits = []
        for index, grid in enumerate(grids):
            last = index == len(grids) - 1
            keep = options.start == "all" or (options.start == "last" and last)
            vit = regrid(template, grid, keep)
            exits.append(Exit(vit, grids[index - 1] if index else 0, last or apart, options))
        self.exits = nn.ModuleList(exits)
        self._work = tuple(_grouped(index, exit.parts()) for index, exit in enumerate(exits))

    @property
    def backbone(self) -> VisionTransformer:  # type: ignore[override]
        """The last exit's transformer: the backbone's size and grid, its MLPs widened where features are reused."""
        return self.exits[-1].vit

    def forward(self, images: Tensor, point: OperatingPoint) -> CascadePrediction:
        """All exits, differentiable; answer and usage are those of the exit at which each image would leave.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        thresholds = self.thresholds([point])
        exit_logits: list[Tensor] = []
        scores: list[Tensor] = []
        handed = Handed()
        for index, exit in enumerate(self.exits):
            logits, handed = exit(images, handed)
            exit_logits.append(logits)
            if index < len(self.exits) - 1:
                with torch.no_grad():
                    scores.append(bounded(self.criterion(torch.stack(exit_logits).detach(), images)))
        return self._answer(torch.stack(exit_logits), torch.stack(scores), thresholds[0])

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> CascadePrediction:
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
        assert isinstance(prediction, CascadePrediction)
        return mixture(prediction.exit_logits, self._leaving(images, point, prediction.exit_logits))

    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        """The expected cost, with the probability of leaving at each exit that its score gives.

        Shape: images (B, 3, H, W) → (B,), float64. Units: MACs.
        """
        assert isinstance(prediction, CascadePrediction)
        leaving = self._leaving(images, point, prediction.exit_logits)
        return (leaving * leaving.new_tensor(self.exit_macs())[:, None]).sum(0)

    def _leaving(self, images: Tensor, point: OperatingPoint, exit_logits: Tensor) -> Tensor:
        # In float64: a confidence that rounds to 1 in float32 has no gradient, and an attack would not move.
        wide = exit_logits.double()
        scores = torch.stack([self.criterion(wide[: index + 1], images) for index in range(len(exit_logits) - 1)])
        return exit_probabilities(scores, self.thresholds([point])[0].to(wide))

    @torch.no_grad()
    def predict(self, images: Tensor, point: OperatingPoint) -> CascadePrediction:
        """The batch shrinks after every exit; images that left cost nothing more.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        return next(self.sweep(images, [point]))

    def sweep(self, images: Tensor, points: Sequence[OperatingPoint]) -> Iterator[CascadePrediction]:
        """``predict`` at each point, from one pass: an exit runs on the images that have not left at every point."""
        with torch.no_grad():
            thresholds = self.thresholds(points)
            exit_logits, scores = self._pass(
                images, lambda index, scores: leaves(scores, thresholds[:, index, None].to(scores))
            )
            for row in thresholds:
                yield self._answer(exit_logits, scores, row)

    def confidences(self, batches: Iterable[Batch]) -> Confidences:
        """Every exit's scores, and whether it is correct, on labelled images: thresholds are solved from these."""
        scores, correct, last = [], [], []
        with torch.no_grad():
            for batch in batches:
                exit_logits, found = self._pass(
                    batch.images, lambda _, scores: torch.zeros_like(scores, dtype=torch.bool)[None]
                )
                for logits in exit_logits:
                    check_logits(logits, "an exit of DVT, while thresholds are solved,")
                scores.append(found.float().cpu())
                last.append(bounded(self.criterion(exit_logits, batch.images)).float().cpu())
                correct.append((exit_logits.argmax(-1) == batch.labels).cpu())
        if not scores:
            raise InputError("DVT solves thresholds on calibration images, and there are none: give a larger split")
        return Confidences(
            torch.cat(scores, 1).numpy(), torch.cat(correct, 1).numpy(), self.exit_macs(), torch.cat(last).numpy()
        )

    def feasible_range(self, calibration: Sequence[Batch]) -> tuple[float, float]:
        """The costs of the first exit and of all of them. Units: MACs per image."""
        costs = self.exit_macs()
        return float(costs[0]), float(costs[-1])

    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        """For each budget the thresholds of the released code's shares of exits, which look at scores and costs alone.

        Units: MACs per image. Raises: ``InputError`` for a budget outside the feasible range.
        """
        return self._solved(SOLVERS["ladder"], budgets, calibration)

    def solve_for_accuracy(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        """For each budget the thresholds of the highest accuracy on the calibration images, by the option ``solver``.

        Units: MACs per image. Raises: ``InputError`` for a budget outside the feasible range.
        """
        return self._solved(SOLVERS[self.options.solver], budgets, calibration)

    def _solved(self, solver: Solver, budgets: Sequence[float], calibration: Sequence[Batch]) -> list[OperatingPoint]:
        low, high = self.feasible_range(calibration)
        for budget in budgets:
            if not low * (1 - SLACK) <= budget <= high * (1 + SLACK):
                raise InputError(
                    f"a budget of this cascade must be {low / GIGA:.4g} GMACs (its first exit) to {high / GIGA:.4g} "
                    f"(all exits), got {budget / GIGA:.4g}"
                )
        found = self.confidences(calibration)
        return points_for(solver(found, [budget * (1 + SLACK) for budget in budgets]))

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
        names = [THRESHOLD.format(index + 1) for index in range(len(self.exits) - 1)]
        for point in points:
            if set(point) != set(names):
                raise InputError(
                    f"a point of a cascade of {len(self.exits)} exits must set {', '.join(names)}, each in [0, 1]; "
                    f"got {', '.join(point) or 'nothing'}"
                )
        rows = [[point.number(name) for name in names] for point in points]
        for point in points:
            for name in names:
                if not 0 <= point.number(name) <= 1:
                    raise InputError(f"{name} must be in [0, 1], where 1 keeps every image; got {point.number(name)}")
        return torch.tensor(rows, dtype=torch.float64)

    def _pass(self, images: Tensor, left: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Run the exits on ever fewer images: until ``left(exit, scores)`` (P, b) was true at each point."""
        count, exits = len(images), len(self.exits)
        alive = torch.arange(count, device=images.device)
        gone = torch.zeros(1, count, dtype=torch.bool, device=images.device)
        exit_logits = images.new_full((exits, count, self.backbone.num_classes), torch.nan)
        scores = images.new_full((exits - 1, count), torch.nan)
        handed, seen = Handed(), images
        for index, exit in enumerate(self.exits):
            assert isinstance(exit, Exit)
            logits, handed = exit.predict(seen, handed)
            exit_logits[index, alive] = logits.to(exit_logits)
            if index == exits - 1:
                break
            score = bounded(self.criterion(exit_logits[: index + 1, alive], seen)).to(scores)
            scores[index, alive] = score
            gone = gone | left(index, score)
            stay = (~gone.all(0)).nonzero()[:, 0]
            if len(stay) == 0:
                break
            if len(stay) < len(alive):
                alive, seen, gone, handed = alive[stay], seen[stay], gone[:, stay], handed.of(stay)
        return exit_logits, scores

    def _answer(self, exit_logits: Tensor, scores: Tensor, thresholds: Tensor) -> CascadePrediction:
        count = exit_logits.shape[1]
        gone = leaves(scores, thresholds[:, None].to(scores))
        return self._at(exit_logits, scores, torch.cat([gone, gone.new_ones(1, count)]).int().argmax(0))

    def _at(self, exit_logits: Tensor, scores: Tensor, chosen: Tensor) -> CascadePrediction:
        count = len(chosen)
        logits = exit_logits[chosen, torch.arange(count, device=exit_logits.device)]
        parts = tuple(
            ExitWork(work.name, work.work, (chosen >= index).long())
            for index, works in enumerate(self._work)
            for work in works
        )
        return CascadePrediction(logits, Usage(count, parts, exit=chosen), exit_logits, scores)


@dataclass(frozen=True)
class _Work:
    name: str
    work: tuple[Part, ...]


def _grouped(index: int, parts: Sequence[Part]) -> tuple[_Work, ...]:
    """An exit's parts by the first piece of their names: few enough to multiply for every batch."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.name.split(".")[0], []).append(part)
    return tuple(_Work(f"exits.{index}.{name}", tuple(group)) for name, group in groups.items())


@lru_cache(maxsize=1024)
def _sum(work: tuple[Part, ...], rule: Rule) -> int:
    return int(cost.macs(Usage(1, work), rule))
