"""What ``dynvit explain`` does and says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynvit.data import open_split
from dynvit.errors import InputError
from dynvit.explain.exits import Departures, departures, easy_and_hard
from dynvit.explain.images import explain_images, read_image
from dynvit.explain.pictures import draw_explanations, draw_shares, draw_sheet, write_csv, write_png
from dynvit.explain.trained import Trained, parse_point, solve
from dynvit.interface import Explanation, OperatingPoint
from dynvit.ladder import GIGA, CostRange
from dynvit.processes import process_state

MOST_CLASSES = 20  # rows of a sheet that people still look at


@dataclass(frozen=True)
class ExplainRequest:
    """What is asked. Units: ``budget`` GMACs an image as a mean over the calibration split."""

    method: str
    checkpoint: Path
    images: Sequence[Path] = ()
    dataset: str | None = None
    data_dir: str | None = None
    split: str = "validation"
    limit: int | None = None
    knobs: Sequence[str] = ()
    budget: float | None = None
    calibration: int | None = None
    points: int = 25
    per_class: int = 6
    output: Path | None = None
    device: str = "auto"


def run_explain(request: ExplainRequest) -> Iterator[str]:
    """Explain, line by line; pictures go to ``output``.

    Raises: ``InputError`` for whatever is wrong, before a picture is written.
    """
    _check(request)
    images = [read_image(path) for path in request.images]
    trained = Trained.read(request.method, request.checkpoint, process_state(request.device).device)
    if request.knobs:
        parse_point(trained.knobs, request.knobs)
    return _explain_dataset(request, trained) if request.dataset else _explain_images(request, trained, images)


def _check(request: ExplainRequest) -> None:
    if bool(request.images) == bool(request.dataset):
        raise InputError("give images to explain, or --dataset for the exits of a whole split: one of the two")
    if request.knobs and request.budget is not None:
        raise InputError("--knob and --budget both name the operating point: give one of the two")
    if request.points < 2 or request.per_class < 1:
        raise InputError("--points takes 2 or more, --per-class 1 or more")
    if request.dataset and request.output is None:
        raise InputError("--dataset is explained in pictures: give --output DIR for them")
    if request.output is not None:
        above = next(path for path in (request.output.absolute(), *request.output.absolute().parents) if path.exists())
        if not above.is_dir():
            raise InputError(f"--output {str(request.output)!r}: {str(above)!r} is a file; give another folder")


def _explain_images(request: ExplainRequest, trained: Trained, images: Sequence[Any]) -> Iterator[str]:
    point = _point(request, trained)
    found = explain_images(trained, images, point)
    yield _said(point)
    heads = [
        f"{path}: {trained.class_name(explanation.answer)}"
        for path, explanation in zip(request.images, found, strict=True)
    ]
    for head, explanation in zip(heads, found, strict=True):
        yield f"{head}; {explanation.text}"
    if request.output is not None:
        names = [f"{path.name}: {trained.class_name(e.answer)}" for path, e in zip(request.images, found, strict=True)]
        yield str(write_png(draw_explanations(images, found, names), request.output / "explained.png"))
        rows = [row for path, e in zip(request.images, found, strict=True) for row in _rows(path, e)]
        yield str(write_csv(rows, request.output / "explained.csv"))


def _rows(path: Path, explanation: Explanation) -> Iterator[dict[str, Any]]:
    for name, values in (explanation.steps or {"answer": [explanation.answer]}).items():
        for step, value in enumerate(values, 1):
            yield {"image": str(path), "number": name, "step": step, "value": f"{value:.6g}"}


def _explain_dataset(request: ExplainRequest, trained: Trained) -> Iterator[str]:
    assert request.dataset is not None
    assert request.output is not None
    source = open_split(
        request.dataset,
        request.split,
        data_dir=request.data_dir,
        seed=trained.config.training.seed,
        calibration=request.calibration,
        limit=request.limit,
    )
    if source.spec.num_classes != trained.config.backbone_info.num_classes:
        raise InputError(
            f"the checkpoint answers with {trained.config.backbone_info.num_classes} classes, {request.dataset} has "
            f"{source.spec.num_classes}: give the dataset that it was trained on, {trained.config.dataset}"
        )
    ladder = trained.ladder(request.data_dir, request.calibration)
    reach = ladder.range()
    budgets = [float(b) for b in np.linspace(reach.low, reach.high, request.points) / GIGA]
    chosen = _chosen_budget(request, reach)
    *points, point = solve(ladder, [*budgets, chosen])
    if request.knobs:
        point = parse_point(trained.knobs, request.knobs)
    found = departures(trained, source, [*points, point])
    title = f"{request.dataset} {request.split} · {request.method} · {trained.config.backbone.name}"
    yield _summary(found, len(points), point)
    shares = found.shares()[:-1]
    picture = draw_shares(budgets, shares, f"{title} · {len(source):,} images".replace(",", "\u202f"))
    yield str(write_png(picture, request.output / "exit_shares.png"))
    yield str(write_csv(_share_rows(budgets, points, found), request.output / "exit_shares.csv"))
    rows = easy_and_hard(found, len(points), request.per_class)
    note = f", the first {MOST_CLASSES} of {len(rows)} classes" if len(rows) > MOST_CLASSES else ""
    sheet = draw_sheet(
        rows[:MOST_CLASSES],
        found,
        len(points),
        lambda place: source.read(place).image,
        trained.class_name,
        f"{title} · {found.macs[-1].mean() / GIGA:.4g} GMACs an image{note}",
    )
    yield str(write_png(sheet, request.output / "easy_hard.png"))


def _share_rows(budgets: Sequence[float], points: Sequence[OperatingPoint], found: Departures) -> list[dict[str, Any]]:
    return [
        {
            "budget_gmacs": f"{budget:.6g}",
            "gmacs_mean": f"{macs.mean() / GIGA:.6g}",
            "top1_pct": f"{100 * right.mean():.3f}",
            **{f"exit_{k + 1}": f"{share:.6f}" for k, share in enumerate(row)},
            **{knob: f"{value:.6g}" if isinstance(value, float) else value for knob, value in point.items()},
        }
        for budget, point, row, macs, right in zip(
            budgets, points, found.shares()[:-1], found.macs[:-1], found.right()[:-1], strict=True
        )
    ]


def _summary(found: Departures, at: int, point: OperatingPoint) -> str:
    shares = ", ".join(f"{100 * share:.1f} % at exit {k}" for k, share in enumerate(found.shares()[at], 1))
    macs, right = found.macs[at].mean() / GIGA, 100 * found.right()[at].mean()
    return f"{_said(point)}: {shares}; {macs:.4g} GMACs an image, top-1 {right:.2f} %"


def _point(request: ExplainRequest, trained: Trained) -> OperatingPoint:
    """What was asked for; else the middle of what the model can be set to."""
    if request.knobs:
        return parse_point(trained.knobs, request.knobs)
    if not trained.knobs and request.budget is None:
        return trained.model.neutral or OperatingPoint()
    ladder = trained.ladder(request.data_dir, request.calibration)
    return solve(ladder, [_chosen_budget(request, ladder.range())])[0]


def _chosen_budget(request: ExplainRequest, reach: CostRange) -> float:
    return (reach.low + reach.high) / 2 / GIGA if request.budget is None else request.budget


def _said(point: OperatingPoint) -> str:
    knobs = (f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
    return f"at {', '.join(knobs)}"
