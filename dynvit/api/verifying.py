"""Entries measured again, from what their records say alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dynvit.api.found_weights import Weights
from dynvit.data.source import ImageSource
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.knobs import point_of
from dynvit.leaderboard.per_sample import images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.verification import Verification, Way, drawn, key_of
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.measurements.run import Run
from dynvit.options import option_text
from dynvit.progress import Progress
from dynvit.request import SessionRequest
from dynvit.session import OpenModel, Session, Wanted, open_session
from dynvit.units import GIGA


@dataclass(frozen=True)
class Asked:
    """How entries are measured again.

    ``by``: who does; ``limit``: images at most, drawn by ``seed``; ``data_dir``: where the data lie here.
    Raises: ``InputError`` for a number out of range.
    """

    by: str
    command: str
    seed: int
    limit: int = 1000
    data_dir: str | None = None
    device: str = "auto"
    batch_size: int = 64
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("seed", 0), ("batch_size", 1), ("workers", 0)):
            given = getattr(self, name)
            if given < least:
                raise InputError(f"--{name.replace('_', '-')} must be greater than or equal to {least}, got {given}")


@dataclass(frozen=True)
class Absent:
    """An entry that cannot be measured here, and why."""

    record_id: str
    why: str


@dataclass(frozen=True)
class Other:
    """An entry for which something else came out than it is of, and what: not worth measuring."""

    record_id: str
    what: str


def again(records: Sequence[Record], weights: Weights, asked: Asked) -> Iterator[Verification | Absent]:
    """Measure records again with the weights that they name: model by model, all points of one over the same images.

    Raises: ``InputError`` where the data set is another than the records say, or is not here.
    """
    for own in _by_model(records).values():
        opened = _open(own[0], weights, asked)
        if isinstance(opened, str):
            yield from (Absent(record.record_id, opened) for record in own)
            continue
        session, model = opened
        points = [point_of(model.knobs, record.point.knobs) for record in own]
        yield from measured(session, model, own, points, asked, "same weights")


def measured(
    session: Session,
    model: OpenModel,
    records: Sequence[Record],
    points: Sequence[OperatingPoint],
    asked: Asked,
    way: Way,
) -> Iterator[Verification]:
    """The points of an open model, each held to its record's images.

    Args:
        session: what the model was opened in.
        model: it.
        records: of the points.
        points: what is measured.
        asked: how.
        way: where its weights come from.

    Raises: ``InputError`` where the images are not the records'.
    """
    source = session.split(limit=records[0].dataset.limit)
    _check_images(source, records[0])
    keys = [sample.key for sample in source.manifest.samples]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    chosen = drawn(len(keys), len(keys) if records[0].dataset.n_bad else asked.limit, asked.seed)
    few = source.subset(order[place] for place in chosen)
    run = Run.of(session, few, Path(), asked.command, batch_size=asked.batch_size, workers=asked.workers)
    batches = run.batches(model.preprocessing)
    with Progress("verify", batches.images * len(points)) as progress:
        results = evaluate(
            model.model.to(run.device),
            points,
            batches,
            device=run.device,
            rule=session.request.rule,
            after_batch=lambda images: progress.advance(images * len(points), model.label),
            who=f"model {model.label!r}",
        )
    images = images_hash(keys)
    for record, result in zip(records, results, strict=True):
        yield _line(record, result.merged(()), images, len(keys), run, asked, way)


def _line(
    record: Record, result: SampleResults, images: str, of: int, run: Run, asked: Asked, way: Way
) -> Verification:
    date, gmacs = datetime.now(UTC), result.macs / GIGA
    return Verification(
        record_id=record.record_id,
        key=key_of(record.record_id, asked.by, date.isoformat()),
        by=asked.by,
        way=way,
        n=len(result.ids),
        of=of,
        seed=asked.seed,
        images=images,
        right=pack(result.rank == 0),
        gmacs_mean=float(gmacs.mean()),
        gmacs_sd=float(np.std(gmacs)) if gmacs.min() < gmacs.max() else 0.0,
        environment=run.environment,
        command=asked.command,
        date_utc=date,
    )


def _by_model(records: Sequence[Record]) -> Mapping[str, Sequence[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        weights = record.checkpoint.sha256 if record.checkpoint else record.backbone.weights_sha256
        name = f"{record.method.model_dump_json()} {weights} {record.preprocessing.model_dump_json()}"
        found.setdefault(name, []).append(record)
    return found


def _open(record: Record, weights: Weights, asked: Asked) -> tuple[Session, OpenModel] | str:
    """The record's model; why not, where its weights are not here."""
    name, checkpoint = record.method.name, None
    values: dict[str, Any] = {}
    if record.checkpoint is not None:
        found, wanted = weights.of_method(record), record.checkpoint.sha256
        checkpoint = None if found is None else str(found)
        values["method_checkpoint"] = {name: (checkpoint,)}
    else:
        found, wanted = weights.of_backbone(record), record.backbone.weights_sha256 or ""
        values["weights"] = None if found is None else str(found)
        if not wanted:
            return "its weights were drawn and not kept"
    if found is None:
        return f"weights {wanted[:12]} are not here: say where by --run FOLDER or --weights FILE, or --train them again"
    session = open_session(request_of(record, asked).completed(**values))
    options = [] if checkpoint else [option_text(*one) for one in record.method.options.items()]
    model = Wanted.of(name, options, checkpoint)
    if checkpoint is not None:
        session.check(model)
    opened = session.open(model)
    if opened.preprocessing_record() != record.preprocessing:
        raise InputError(
            f"record {record.record_id}: preprocessing must be {record.preprocessing}, the model that was opened has "
            f"{opened.preprocessing_record()}"
        )
    return session, replace(opened, label=name)


def request_of(record: Record, asked: Asked) -> SessionRequest:
    """What a record says of its data and its backbone."""
    height, width = record.backbone.image_size
    cut = record.preprocessing
    return SessionRequest(
        dataset=record.dataset.name,
        data_dir=asked.data_dir,
        split=record.dataset.split,
        data_seed=record.seeds.data,
        on_bad_sample="skip" if record.dataset.n_bad else "raise",
        backbone=record.backbone.name,
        image_size=height if height == width else None,
        crop_pct=cut.crop_pct,
        interpolation=cut.interpolation,
        rule=record.compute.rule,
        device=asked.device,
    )


def _check_images(source: ImageSource, record: Record) -> None:
    got, must = source.manifest.sha256, record.dataset.manifest_sha256
    if got != must:
        raise InputError(
            f"record {record.record_id}: its images have manifest {must[:12]}, those of {record.dataset.name} "
            f"{record.dataset.split} here {got[:12]}: give the data set that it was measured on by --data-dir"
        )
