"""``bench --corruptions``: accuracy and compute of every reported point under each corruption and severity."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from pydantic import JsonValue

from dynvit.data.corruptions import recipe_for
from dynvit.data.corruptions.loading import CorruptedBatches, Corrupting, Variant, canvas, corrupting_pool
from dynvit.data.corruptions.ready import open_ready
from dynvit.data.opening import drawn
from dynvit.data.pixels import PixelBatch, PixelBatches
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.interface import OperatingPoint
from dynvit.leaderboard.follow_up import RobustnessFollowUp, RobustnessStore, follow_up_key
from dynvit.leaderboard.per_sample import images_hash, pack
from dynvit.leaderboard.record import JsonObject, RobustnessRecord
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.measurements.accuracy.record import Context, accuracy
from dynvit.measurements.corruption.summary import GENERATED, READY, THREAT
from dynvit.measurements.robustness.summary import saving_lost_pct
from dynvit.progress import Progress, clock
from dynvit.session.open_model import OpenModel
from dynvit.units import GIGA

VERSION = 1  # of the corruptions: rises when one of them makes other pixels
_TRIED = 8  # images on which the time that a run takes is guessed


@dataclass(frozen=True)
class CorruptionSettings:
    """What is measured. ``folder`` is a ready set to read instead of corrupting in memory.

    Units: ``limit`` images under each corruption; ``memory_mb`` MiB, half for clean pixels and half for corrupted.
    """

    variants: tuple[Variant, ...]
    limit: int = 1000
    folder: Path | None = None
    seed: int = 0
    batch_size: int = 64
    workers: int = 0
    memory_mb: int = 4096


@dataclass(frozen=True)
class CorruptedImages:
    """The images that are corrupted: a fair draw of the reported split, in memory or from a ready set."""

    settings: CorruptionSettings
    drawn: ImageSource
    ready: Mapping[Variant, ImageSource] = field(default_factory=dict)

    @classmethod
    def open(cls, settings: CorruptionSettings, source: ImageSource) -> CorruptedImages:
        """Draw the images, and check a ready set. Raises: ``InputError`` for a set that is not whole."""
        images = drawn(source, settings.limit, settings.seed)
        if settings.folder is None:
            return cls(settings, images)
        ready = open_ready(
            settings.folder, source.spec, source.split, settings.variants, images, settings.limit, settings.seed
        )
        return cls(settings, images, ready)

    def how(self, variant: Variant, preprocessing: Preprocessing) -> dict[str, JsonValue]:
        """How the images come to be, by name: what stands in a record's settings."""
        if variant in self.ready:
            return {"severity": variant.severity, "source": READY, "crop_pct": 1.0}
        edge = canvas(self.drawn.spec, preprocessing).image_size
        return {
            "severity": variant.severity,
            "source": GENERATED,
            "parameters": recipe_for(edge),
            "edge_px": edge,
            "seed": self.settings.seed,
        }

    def manifest_sha256(self, variant: Variant) -> str:
        """Of the images that are read."""
        return self.ready.get(variant, self.drawn).manifest.sha256


@dataclass(frozen=True)
class _Cell:
    """One point of one arm, to be measured under one variant."""

    arm: OpenModel
    point: OperatingPoint
    record_id: str
    question: JsonObject

    @property
    def key(self) -> str:
        return follow_up_key(self.record_id, self.question)


@dataclass
class CorruptionRun:
    """Measures what is missing, variant by variant: an image is decoded once, and corrupted once for all models."""

    images: CorruptedImages
    context: Context
    store: RobustnessStore
    state: PartialState
    _pixels: dict[Preprocessing, PixelBatches] = field(default_factory=dict)

    def run(self, points: Sequence[tuple[OpenModel, OperatingPoint]], say: Callable[[str], None]) -> None:
        """Measure each point. ``say`` is told how much that is, and about how long, before it begins."""
        known = [{line.key for line in self.store.read()} if self.state.is_main_process else set()]
        broadcast_object_list(known)
        todo = {variant: self._missing(variant, points, known[0]) for variant in self.images.settings.variants}
        todo = {variant: cells for variant, cells in todo.items() if cells}
        measured = list({cell.record_id: cell for cells in todo.values() for cell in cells}.values())
        if not measured:
            return
        evaluations = len(measured) + sum(map(len, todo.values()))
        if self.state.is_main_process:
            say(self._plan(todo, evaluations, measured))
        share = self._clean(measured[0].arm.preprocessing).images
        with (
            corrupting_pool(self.images.settings.workers) as pool,
            Progress("corruptions", share * evaluations, quiet=not self.state.is_main_process) as progress,
        ):
            clean = {cell.record_id: results for cell, results in self._evaluate(measured, None, pool, progress)}
            for variant, cells in todo.items():
                for cell, results in self._evaluate(cells, variant, pool, progress):
                    if self.state.is_main_process:
                        self._write(cell, variant, results, clean[cell.record_id])

    def _missing(
        self, variant: Variant, points: Sequence[tuple[OpenModel, OperatingPoint]], known: Set[str]
    ) -> list[_Cell]:
        cells: dict[str, _Cell] = {}
        for arm, point in points:
            question: JsonObject = {
                "threat": THREAT,
                "attack": variant.corruption,
                "version": VERSION,
                "images": self.images.manifest_sha256(variant),
                **self.images.how(variant, arm.preprocessing),
            }
            cell = _Cell(arm, point, self.context.record_id(arm, point), question)
            cells.setdefault(cell.key, cell)
        return [cell for key, cell in cells.items() if key not in known]

    def _plan(self, todo: Mapping[Variant, Sequence[_Cell]], evaluations: int, measured: Sequence[_Cell]) -> str:
        """How much there is to do, and about how long: the first batch tells."""
        batch = next(iter(self._clean(canvas(self.images.drawn.spec, measured[0].arm.preprocessing))))
        few = PixelBatch(batch.ids[:_TRIED], batch.images[:_TRIED], batch.labels[:_TRIED])
        start = time.perf_counter()
        if not self.images.ready:
            for variant in todo:
                corrupting = self._corrupting(variant, measured[0].arm.preprocessing)
                corrupting(few.images[:1].numpy(), few.ids[:1])
        seconds = (time.perf_counter() - start) / max(self.images.settings.workers, 1)
        batch = next(iter(self._clean(measured[0].arm.preprocessing)))
        few = PixelBatch(batch.ids[:_TRIED], batch.images[:_TRIED], batch.labels[:_TRIED])
        spent = 0.0
        for cell in measured:
            [result] = evaluate(cell.arm.model, [cell.point], [few], device=self.state.device, rule=self.context.rule)
            spent += result.seconds / len(few.ids)
        share = self._clean(measured[0].arm.preprocessing).images
        left = share * (seconds + spent / len(measured) * evaluations)
        return (
            f"corruptions: {len(todo)} of them by severity, {len(self.images.drawn):,} images, {len(measured)} points; "
            f"about {clock(left)}"
        )

    def _evaluate(
        self, cells: Sequence[_Cell], variant: Variant | None, pool: ProcessPoolExecutor | None, progress: Progress
    ) -> Iterator[tuple[_Cell, SampleResults]]:
        """Each cell's answers under the variant (``None``: clean), over all processes."""
        prepared: dict[Preprocessing, Iterable[PixelBatch]] = {}
        for label in dict.fromkeys(cell.arm.label for cell in cells):
            own = [cell for cell in cells if cell.arm.label == label]
            arm = own[0].arm
            if arm.preprocessing not in prepared:
                prepared[arm.preprocessing] = self._batches(variant, arm.preprocessing, pool)
            note = f"{variant.corruption} {variant.severity}, {label}" if variant else f"clean, {label}"
            results = evaluate(
                arm.model,
                [cell.point for cell in own],
                prepared[arm.preprocessing],
                device=self.state.device,
                rule=self.context.rule,
                after_batch=partial(_advance, progress, len(own), note),
            )
            shares: list[list[SampleResults]] = gather_object([results])
            for index, cell in enumerate(own):
                first, *others = (answered[index] for answered in shares)
                yield cell, first.merged(others)

    def _batches(
        self, variant: Variant | None, preprocessing: Preprocessing, pool: ProcessPoolExecutor | None
    ) -> Iterable[PixelBatch]:
        settings = self.images.settings
        if variant is None:
            return self._clean(preprocessing)
        if variant in self.images.ready:
            # Its images are cut already: a crop would cut them a second time.
            return self._loader(self.images.ready[variant], replace(preprocessing, crop_pct=1.0))
        return CorruptedBatches(
            self._clean(canvas(self.images.drawn.spec, preprocessing)),
            self._corrupting(variant, preprocessing),
            pool=pool,
            ahead=2 * settings.workers,
            memory_mb=settings.memory_mb // 2,
        )

    def _corrupting(self, variant: Variant, preprocessing: Preprocessing) -> Corrupting:
        before = canvas(self.images.drawn.spec, preprocessing)
        return Corrupting(variant, self.images.settings.seed, before, preprocessing)

    def _clean(self, preprocessing: Preprocessing) -> PixelBatches:
        """The images undisturbed: decoded once for all variants."""
        if preprocessing not in self._pixels:
            self._pixels[preprocessing] = self._loader(self.images.drawn, preprocessing)
        return self._pixels[preprocessing]

    def _loader(self, source: ImageSource, preprocessing: Preprocessing) -> PixelBatches:
        settings = self.images.settings
        return PixelBatches(
            source,
            preprocessing,
            batch_size=settings.batch_size,
            workers=settings.workers,
            memory_mb=settings.memory_mb // 2,
            rank=self.state.process_index,
            world=self.state.num_processes,
        )

    def _write(self, cell: _Cell, variant: Variant, results: SampleResults, clean: SampleResults) -> None:
        arm, n = cell.arm, len(results.ids)
        answered = accuracy(results, n, arm.backbone.num_classes)
        # A ready set may hold other images than the split: then nothing is known of them clean.
        same = results.ids == clean.ids
        gmacs, clean_gmacs = float(results.macs.mean()) / GIGA, float(clean.macs.mean()) / GIGA
        saving_lost = saving_lost_pct(gmacs, clean_gmacs, self.context.dense_gmacs)
        self.store.append(
            RobustnessFollowUp(
                record_id=cell.record_id,
                key=cell.key,
                question=cell.question,
                measured=RobustnessRecord(
                    threat=THREAT,
                    norm=None,
                    eps=None,
                    attack=variant.corruption,
                    settings={"version": VERSION, **self.images.how(variant, arm.preprocessing)},
                    adaptive=False,
                    n=n,
                    accuracy_pct=answered.top1_pct,
                    gmacs_mean_under_attack=gmacs,
                    accuracy_ci95_low_pct=answered.top1_ci95_low_pct,
                    accuracy_ci95_high_pct=answered.top1_ci95_high_pct,
                    clean_accuracy_pct=100 * float((clean.rank == 0).mean()) if same else None,
                    clean_gmacs_mean=clean_gmacs if same else None,
                    saving_taken_back_pct=saving_lost if same else None,
                    images=images_hash(results.ids),
                    right=pack(results.rank == 0),
                ),
                environment=self.context.environment,
                command=self.context.command,
                git_sha=self.context.git_sha,
                date_utc=datetime.now(UTC),
                wall_s=round(results.seconds, 3),
            )
        )


def _advance(progress: Progress, points: int, note: str, images: int) -> None:
    progress.advance(images * points, note)
