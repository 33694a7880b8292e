"""About how long each cell of a bench takes, by a few steps of each training and a few images through the backbone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import torch

from dynvit.benchmark.cells import ACCURACY, SEARCH, TRAIN, Cell, cells_of
from dynvit.benchmark.done import is_done
from dynvit.benchmark.run import Bench
from dynvit.budgets import noise_batch

TIMED_MACS = 10e9
"""What is timed of the backbone, a second or so on a CPU."""


def expected(bench: Bench) -> Mapping[str, float | None]:
    """Seconds on this machine by the name of the cell; None where nothing is known of it. Nothing is written.

    A training that is done is not tried again, and has None.

    A measurement is told as if every point cost as much as the backbone, so it is an upper bound but for what a
    measurement adds to running the model.
    """
    cells, second = cells_of(bench), _seconds_an_image(bench)
    trainings = {cell.label: cell for cell in cells if cell.kind == TRAIN}
    found: dict[str, float | None] = dict.fromkeys(cell.name for cell in cells)
    trained = {label for label, cell in trainings.items() if is_done(bench, cell)}
    for label, made in bench.preparation.forecasts(but=trained):
        found[trainings[label].name] = made.seconds
    for cell, images in _images(bench, cells):
        found[cell.name] = images * second
    return found


def _images(bench: Bench, cells: list[Cell]) -> Iterator[tuple[Cell, float]]:
    """The measuring cells, each with the images that go through its model."""
    config, source = bench.config, bench.source
    points = len(config.budgets) or config.points
    trial = len(bench.session.split("calibration", quiet=True)) if bench.searches.knobs else 0
    apart = {cell.label for cell in cells if cell.kind == SEARCH}
    by_name = {measurement.name: measurement.measurer for measurement in bench.measurements}
    for cell in cells:
        if cell.kind == SEARCH:
            yield cell, trial
        elif cell.kind == ACCURACY:
            searched = cell.label in bench.searches.knobs and cell.label not in apart
            yield cell, points * len(source) + (config.trials * trial if searched else 0)
        elif cell.kind in by_name:
            images = by_name[cell.kind].images_through(bench.session, source, points)
            if images is not None:
                yield cell, images


def _seconds_an_image(bench: Bench) -> float:
    backbone = bench.session.untrained().eval().to(bench.session.device)
    size = bench.session.preprocessing(backbone).image_size
    count = max(1, min(bench.config.batch_size, int(TIMED_MACS / max(bench.session.dense_macs, 1))))
    images = noise_batch((size, size), bench.session.device).images.expand(count, -1, -1, -1)
    with torch.inference_mode():
        backbone(images)
        start = time.perf_counter()
        backbone(images).sum().item()  # read, so that the device is done
        return (time.perf_counter() - start) / count
