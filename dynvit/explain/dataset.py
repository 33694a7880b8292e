"""A whole split explained in pictures: which ones depends on what the model decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dynvit.data import ImageSource
from dynvit.errors import InputError
from dynvit.explain.block_pictures import draw_kept, draw_skip_ratios
from dynvit.explain.blocks import Policies, policies
from dynvit.explain.canvas import write_png
from dynvit.explain.decides import decides
from dynvit.explain.exit_pictures import draw_shares, draw_sheet
from dynvit.explain.exits import Departures, departures, easy_and_hard
from dynvit.explain.images import as_seen, explain_images
from dynvit.explain.request import ExplainRequest
from dynvit.explain.trained import Trained, solve
from dynvit.figures import write_rows
from dynvit.interface import OperatingPoint
from dynvit.knobs import parse_point, point_said
from dynvit.units import GIGA

MOST_CLASSES = 20  # rows of a sheet that people still look at


def explain_dataset(request: ExplainRequest, trained: Trained) -> Iterator[str]:
    """Exits as shares over budgets and a sheet of easy and hard images; blocks as skip ratios and kept tokens.

    Raises: ``InputError`` for a split that is missing or of other classes, and for a method that decides neither.
    """
    return _Split(request, trained).explained()


class _Split:
    def __init__(self, request: ExplainRequest, trained: Trained) -> None:
        assert request.output is not None
        self.request, self.trained, self.output = request, trained, request.output
        self.source: ImageSource = trained.session.split(limit=request.session.limit)
        opened, where = trained.opened, f"{trained.session.dataset.name} {request.session.split}"
        self.title = f"{where} · {opened.name} · {opened.backbone.name}"

    @cached_property
    def count(self) -> str:
        return f"{len(self.source):,} images".replace(",", "\u202f")

    def explained(self) -> Iterator[str]:
        exits, blocks = decides(self.trained, self.source)
        if not exits and not blocks:
            raise InputError(
                f"method {self.trained.opened.name!r} decides neither exits nor blocks: give it images, not --dataset"
            )
        if exits:
            yield from self._exits()
        if blocks:
            yield from self._blocks()

    def _exits(self) -> Iterator[str]:
        request, trained = self.request, self.trained
        solver = trained.solver()
        feasible = solver.range()
        budgets = [float(b) for b in np.linspace(feasible.low, feasible.high, request.settings.points) / GIGA]
        *points, point = solve(solver, [*budgets, request.chosen_budget(feasible)])
        if request.knobs:
            point = parse_point(trained.opened.knobs, request.knobs)
        found = departures(trained, self.source, [*points, point])
        yield _left(found, len(points), point)
        picture = draw_shares(budgets, found.shares()[:-1], f"{self.title} · {self.count}")
        yield str(write_png(picture, self.output / "exit_shares.png"))
        yield str(write_rows(_share_rows(budgets, points, found), self.output / "exit_shares.csv"))
        rows = easy_and_hard(found, len(points), request.settings.per_class)
        note = f", the first {MOST_CLASSES} of {len(rows)} classes" if len(rows) > MOST_CLASSES else ""
        sheet = draw_sheet(
            rows[:MOST_CLASSES],
            found,
            len(points),
            lambda place: self.source.read(place).image,
            trained.opened.class_name,
            f"{self.title} · {found.macs[-1].mean() / GIGA:.4g} GMACs an image{note}",
        )
        yield str(write_png(sheet, self.output / "easy_hard.png"))

    def _blocks(self) -> Iterator[str]:
        point = self.request.point(self.trained)
        found = policies(self.trained, self.source, point)
        spent = f"{found.macs.mean() / GIGA:.4g} GMACs an image"
        yield f"at {point_said(point)}: {spent}, top-1 {100 * np.mean(found.answers == found.labels):.2f} %"
        picture = draw_skip_ratios(found.skip_ratios(), f"{self.title}\n{self.count}, {spent}")
        yield str(write_png(picture, self.output / "skip_ratios.png"))
        yield str(write_rows(_ratio_rows(found), self.output / "skip_ratios.csv"))
        cheap, expensive = found.cheap_and_expensive(self.request.settings.per_class)
        yield str(self._sheet(found, [*cheap, *expensive], point, spent))

    def _sheet(self, found: Policies, chosen: Sequence[int], point: OperatingPoint, spent: str) -> Path:
        trained = self.trained
        images = [self.source.read(int(found.places[place])).image for place in chosen]
        explained = explain_images(trained, images, point)
        names = [
            f"{trained.opened.class_name(int(found.labels[place]))}, answer {trained.opened.class_name(one.answer)}, "
            f"{one.macs / GIGA:.4g} GMACs"
            for place, one in zip(chosen, explained, strict=True)
        ]
        alike = found.macs.min() == found.macs.max()
        which = "images of one cost" if alike else "the least expensive images, then the most expensive"
        seen = [as_seen(trained, image) for image in images]
        sheet = draw_kept(seen, explained, names, f"{self.title}\n{spent}; {which}")
        return write_png(sheet, self.output / "kept_tokens.png")


def _ratio_rows(found: Policies) -> list[dict[str, Any]]:
    ratios = found.skip_ratios()
    return [
        {"block": block + 1, **{name: "" if np.isnan(r[block]) else f"{r[block]:.6f}" for name, r in ratios.items()}}
        for block in range(found.ran.shape[1])
    ]


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


def _left(found: Departures, at: int, point: OperatingPoint) -> str:
    shares = ", ".join(f"{100 * share:.1f} % at exit {k}" for k, share in enumerate(found.shares()[at], 1))
    macs, right = found.macs[at].mean() / GIGA, 100 * found.right()[at].mean()
    return f"at {point_said(point)}: {shares}; {macs:.4g} GMACs an image, top-1 {right:.2f} %"
