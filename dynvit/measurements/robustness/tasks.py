"""Which attacks are run on which measured points: planned before any of them is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from dynvit.attacks.radius import check_eps
from dynvit.attacks.spec import AttackSpec, Variant
from dynvit.backbones.build import image_size
from dynvit.data.opening import drawn
from dynvit.data.source import ImageSource
from dynvit.interface import DynamicModel
from dynvit.leaderboard.per_sample import images_hash
from dynvit.measurements.robustness.config import config_of
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.specs import masking_checks, search_spec
from dynvit.measurements.robustness.variants import compute_has_gradient, forms, variants_of
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint, Task
from dynvit.progress import counted


@dataclass(frozen=True)
class AttackTask(Task):
    """One attack on one point. ``source`` is the model whose gradient is taken in its place (a transfer)."""

    spec: AttackSpec
    source: MeasuredPoint | None = None


@dataclass(frozen=True)
class Planner:
    """Plans attacks on images of one set. ``images`` is their hash; ``count`` this process's share of them."""

    specs: Sequence[AttackSpec]
    checks: bool
    images: str
    count: int

    def plan(self, points: Sequence[MeasuredPoint], source: MeasuredPoint | None) -> Iterator[AttackTask]:
        """Every attack on the points: on accuracy in all variants, on compute, from the static backbone, and checks."""
        for at in points:
            yield from self._attacks(at, source)

    def accuracy(self, at: MeasuredPoint, spec: AttackSpec, source: MeasuredPoint | None = None) -> list[AttackTask]:
        """One attack on accuracy, in as many attempts as every model gets: in each variant that the model supports,
        from the static backbone, and what is then left as restarts."""
        opened = at.opened
        variants = variants_of(opened.model, spec.attack, "misclassify", adaptive_cost=opened.method.adaptive_cost)
        found = [self._task(at, spec.of(variant=variant)) for variant in variants]
        transfers = not spec.attack.black_box and source is not None and source is not at
        if transfers and source is not None and size_of(source) == size_of(at):
            found.append(self._task(at, spec.of(variant="transfer"), source))
        count = attempts_by(spec)
        return [*found, *(self._task(at, spec.of(restart=place)) for place in range(1, count))][:count]

    def _attacks(self, at: MeasuredPoint, source: MeasuredPoint | None) -> Iterator[AttackTask]:
        adaptive_cost = at.opened.method.adaptive_cost
        raisable = can_slow_down(at)
        for spec in self.specs:
            yield from self.accuracy(at, spec, source)
            if raisable and not (spec.attack.black_box or spec.attack.labels_only):
                variant: Variant = "adaptive" if adaptive_cost else "static"
                yield self._task(at, spec.of(criterion="slowdown", variant=variant))
                yield self._task(at, spec.of(criterion="slowdown-keep-label", variant=variant))
        blind = all(spec.attack.black_box for spec in self.specs)  # as is advised where there is no gradient
        if self.checks:
            for check in masking_checks(self.specs, size_of(at)):
                if check.attack.black_box or not blind:
                    yield self._task(at, check)

    def _task(self, at: MeasuredPoint, spec: AttackSpec, source: MeasuredPoint | None = None) -> AttackTask:
        return AttackTask(at, config_of(spec, self.images, source), spec, source, work=passes(spec) * self.count)


def can_slow_down(at: MeasuredPoint) -> bool:
    """Whether a slowdown of a point can be measured: images that cost alike have none, others need a gradient."""
    opened = at.opened
    device = next(opened.model.parameters()).device
    found = not opened.method.adaptive_cost or compute_has_gradient(
        opened.model, at.point, torch.rand(1, 3, *size_of(at), device=device)
    )
    if not found:
        warnings.warn(
            f"no gradient of the compute of {opened.label} reaches the image: it is not attacked "
            "(a model that supports a compute proxy can be)",
            stacklevel=2,
        )
    return found


def passes(spec: AttackSpec) -> int:
    """The most passes through the model that an image takes."""
    given = spec.attack
    if spec.variant == "static":
        return 1
    starts = getattr(given, "restarts", 1) * getattr(given, "targets", 1)
    return int(getattr(given, "queries", getattr(given, "steps", 1)) * starts)


def attempts_by(spec: AttackSpec) -> int:
    """Attempts on accuracy that every model gets by an attack."""
    return spec.attempts or len(forms(spec.attack))


def attempts_said(specs: Sequence[AttackSpec]) -> str:
    """How many attempts on accuracy every model gets by each attack."""
    counts: dict[int, list[str]] = {}
    for spec in specs:
        names = counts.setdefault(attempts_by(spec), [])
        if spec.name not in names:
            names.append(spec.name)
    said = [f"{counted(count, 'attempt')} by {' and '.join(names)}" for count, names in sorted(counts.items())]
    return f"for each {', '.join(said)}"


def check_radii(settings: RobustnessSettings, model: DynamicModel) -> None:
    """Raises: ``InputError`` for a radius that is larger than any two of the model's images are apart."""
    for eps in settings.eps:
        check_eps(eps, settings.norm, (3, *image_size(model.backbone)))


def size_of(at: MeasuredPoint) -> tuple[int, int]:
    """Height and width of its images. Units: pixels."""
    side = at.opened.preprocessing.image_size
    return side, side


def images_of(settings: RobustnessSettings, run: Run) -> ImageSource:
    """The images that are attacked: a fair draw of the run's."""
    return drawn(run.source, settings.limit, run.session.data_seed)


def planner_for(settings: RobustnessSettings, run: Run) -> Planner:
    """What plans the attacks of a run."""
    few = images_of(settings, run)
    starts = range(run.state.process_index * run.batch_size, len(few), run.batch_size * run.state.num_processes)
    return Planner(
        specs=settings.specs(run.session.dataset),
        checks=settings.masking_checks,
        images=images_hash(sample.key for sample in few.manifest.samples),
        count=sum(min(run.batch_size, len(few) - start) for start in starts),
    )


def search_tasks(settings: RobustnessSettings, at: MeasuredPoint, run: Run) -> list[AttackTask]:
    """The one attack on accuracy that a search looks at, in every variant."""
    spec = search_spec(settings.specs(run.session.dataset))
    return [task for task in planner_for(settings, run).accuracy(at, spec) if not task.spec.restart]
