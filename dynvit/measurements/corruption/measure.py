"""Evaluating points under each corruption and severity: an image is decoded once, and corrupted once for all models."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from dynvit.data.corruptions.loading import CorruptedBatches, Variant, canvas, corrupting_pool
from dynvit.data.pixels import PixelBatch, PixelBatches
from dynvit.data.transforms import Preprocessing
from dynvit.leaderboard.per_sample import images_hash, pack
from dynvit.leaderboard.record import saving_lost_pct
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.measurements.accuracy.record import accuracy
from dynvit.measurements.corruption.images import CorruptedImages, variants_of
from dynvit.measurements.corruption.result import CorruptionResult
from dynvit.measurements.run import Run
from dynvit.measurements.task import MeasuredPoint, Task
from dynvit.progress import Progress, clock
from dynvit.units import GIGA

_TRIED = 8  # images on which the time that a run takes is estimated


@dataclass(frozen=True)
class CorruptionTask(Task):
    """One point under one corruption at one severity."""

    variant: Variant


@dataclass(frozen=True)
class CorruptionShare:
    """One process's answers under a corruption, and to the same images clean."""

    results: SampleResults
    clean: SampleResults

    @property
    def seconds(self) -> float:
        """Time in the model under the corruption."""
        return self.results.seconds

    def merged(self, others: Iterable[CorruptionShare]) -> CorruptionShare:
        """All processes' answers together."""
        parts = list(others)
        return CorruptionShare(
            self.results.merged(part.results for part in parts), self.clean.merged(part.clean for part in parts)
        )


def tasks_of(images: CorruptedImages, points: Sequence[MeasuredPoint], run: Run) -> Iterator[CorruptionTask]:
    """Every point under every variant, variant by variant."""
    for variant in variants_of(images.settings):
        for at in points:
            preprocessing = at.opened.preprocessing
            count = run.batches(preprocessing, images.drawn).images
            yield CorruptionTask(at, images.config(variant, preprocessing), variant, work=count)


@dataclass(frozen=True)
class CorruptionRun:
    """Evaluates points within a run."""

    images: CorruptedImages
    run: Run

    def measure(
        self, tasks: Sequence[CorruptionTask], progress: Progress
    ) -> Iterator[tuple[CorruptionTask, CorruptionShare]]:
        """This process's share of each task, variant by variant."""
        by_variant: dict[Variant | None, list[CorruptionTask]] = {None: list(_one_each(tasks))}
        for task in tasks:
            by_variant.setdefault(task.variant, []).append(task)
        clean: dict[str, SampleResults] = {}
        self.run.forget_pixels()  # what the sweep kept would lie beside what is kept here
        with corrupting_pool(self.run.workers) as pool:
            for variant, those in by_variant.items():
                for task, results in self._evaluate(those, variant, pool, progress):
                    record_id = task.at.record_id
                    if variant is None:
                        clean[record_id] = results
                    else:
                        yield task, CorruptionShare(results, clean[record_id])

    def estimate(self, tasks: Sequence[CorruptionTask]) -> str:
        """How much there is to do, and about how long: the first batch tells."""
        measured = list(_one_each(tasks))
        variants = {task.variant for task in tasks}
        first = measured[0].at.opened.preprocessing
        few = _few(self.run, canvas(self.images.drawn.spec, first), self.images)
        start = time.perf_counter()
        for variant in variants - set(self.images.ready):
            self.images.corrupting(variant, first)(few.images[:1].numpy(), few.ids[:1])
        seconds = (time.perf_counter() - start) / max(self.run.workers, 1)
        few, spent = _few(self.run, first, self.images), 0.0
        for task in measured:
            at = task.at
            [result] = evaluate(at.opened.model.to(self.run.device), [at.point], [few], device=self.run.device)
            spent += result.seconds / len(few.ids)
        share = self.run.batches(first, self.images.drawn).images
        left = share * (seconds + spent / len(measured) * (len(tasks) + len(measured)))
        return (
            f"corruptions: {len(variants)} of them by severity, {len(self.images.drawn):,} images, {len(measured)} "
            f"points; about {clock(left)}"
        )

    def _evaluate(
        self,
        tasks: Sequence[CorruptionTask],
        variant: Variant | None,
        pool: ProcessPoolExecutor | None,
        progress: Progress,
    ) -> Iterator[tuple[CorruptionTask, SampleResults]]:
        """Each point's answers under the variant (``None``: clean)."""
        prepared: dict[Preprocessing, Iterable[PixelBatch]] = {}
        for label in dict.fromkeys(task.at.opened.label for task in tasks):
            own = [task for task in tasks if task.at.opened.label == label]
            opened = own[0].at.opened
            if opened.preprocessing not in prepared:
                prepared[opened.preprocessing] = self._batches(variant, opened.preprocessing, pool)
            note = f"{variant.corruption} {variant.severity}, {label}" if variant else f"clean, {label}"
            results = evaluate(
                opened.model.to(self.run.device),
                [task.at.point for task in own],
                prepared[opened.preprocessing],
                device=self.run.device,
                rule=self.run.session.request.rule,
                after_batch=partial(_advance, progress, len(own) if variant else 0, note),
                who=f"model {opened.label!r} ({note.partition(',')[0]} images)",
            )
            yield from zip(own, results, strict=True)

    def _batches(
        self, variant: Variant | None, preprocessing: Preprocessing, pool: ProcessPoolExecutor | None
    ) -> Iterable[PixelBatch]:
        images, run = self.images, self.run
        if variant is None:
            return self._clean(preprocessing)
        if variant in images.ready:
            # Its images are cut already: a crop would cut them a second time. They go with the variant.
            cut = replace(preprocessing, crop_pct=1.0)
            return run.own_batches(cut, images.ready[variant], memory_mb=run.memory_mb // 2)
        return CorruptedBatches(
            self._clean(canvas(images.drawn.spec, preprocessing)),
            images.corrupting(variant, preprocessing),
            pool=pool,
            ahead=2 * run.workers,
            memory_mb=run.memory_mb // 2,
            disk=run.disk,
        )

    def _clean(self, preprocessing: Preprocessing) -> PixelBatches:
        """The images undisturbed, decoded once for all variants: half the memory as they are seen, half as canvases."""
        return self.run.batches(preprocessing, self.images.drawn, memory_mb=self.run.memory_mb // 2)


def result_of(task: CorruptionTask, share: CorruptionShare, images: CorruptedImages, run: Run) -> CorruptionResult:
    """What is written of a task."""
    opened, results, clean = task.at.opened, share.results, share.clean
    answered = accuracy(results, opened.backbone.num_classes)
    # A pre-computed set may hold other images than the split: then nothing is known of them clean.
    same = results.ids == clean.ids
    gmacs, clean_gmacs = float(results.macs.mean()) / GIGA, float(clean.macs.mean()) / GIGA
    return CorruptionResult(
        corruption=task.variant.corruption,
        severity=task.variant.severity,
        source=images.source(task.variant),
        settings=images.how(task.variant, opened.preprocessing),
        n=len(results.ids),
        accuracy_pct=answered.top1_pct,
        accuracy_ci95_low_pct=answered.top1_ci95_low_pct,
        accuracy_ci95_high_pct=answered.top1_ci95_high_pct,
        gmacs_mean=gmacs,
        clean_accuracy_pct=100 * float((clean.rank == 0).mean()) if same else None,
        clean_gmacs_mean=clean_gmacs if same else None,
        saving_lost_pct=saving_lost_pct(gmacs, clean_gmacs, run.session.dense_gmacs) if same else None,
        images=images_hash(results.ids),
        right=pack(results.rank == 0),
    )


def _one_each(tasks: Sequence[CorruptionTask]) -> Iterable[CorruptionTask]:
    """The first task of each record."""
    return {task.at.record_id: task for task in reversed(tasks)}.values()


def _few(run: Run, preprocessing: Preprocessing, images: CorruptedImages) -> PixelBatch:
    batch = next(iter(run.own_batches(preprocessing, images.drawn, memory_mb=0)))
    return PixelBatch(batch.ids[:_TRIED], batch.images[:_TRIED], batch.labels[:_TRIED])


def _advance(progress: Progress, points: int, note: str, images: int) -> None:
    progress.advance(images * points, note)
