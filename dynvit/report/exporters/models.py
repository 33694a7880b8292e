"""What targets share: a board's entries by model, names that paths can hold, and data sets as the Hub knows them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dynvit.leaderboard.board import Entry, Leaderboard, Setting
from dynvit.leaderboard.drawing import by_checkpoint
from dynvit.leaderboard.naming import point_names
from dynvit.measurements.base import measurements
from dynvit.reading import is_number


@dataclass(frozen=True)
class ExportedModel:
    """One model of a board: a method with its options and weights, and its points by record id."""

    method: str
    name: str
    slug: str
    entries: tuple[Entry, ...]
    points: Mapping[str, str]


@dataclass(frozen=True)
class Number:
    """A measurement's number. ``name`` is MEASUREMENT.KEY, ``n`` its images; ``unit`` and ``ci95``: None, not known."""

    name: str
    value: float
    more_is_better: bool
    unit: str | None
    n: int
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class HubDataset:
    """A data set on the Hugging Face Hub. ``n`` are the images of its split; fewer are another set."""

    id: str
    split: str
    n: int


# Splits are reported under our names: the test set of CIFAR is "validation" here.
HUB = {
    ("imagenet", "validation"): HubDataset("ILSVRC/imagenet-1k", "validation", 50_000),
    ("cifar10", "validation"): HubDataset("uoft-cs/cifar10", "test", 10_000),
    ("cifar100", "validation"): HubDataset("uoft-cs/cifar100", "test", 10_000),
}


UNITS = {"_pct": "percent", "_ms": "milliseconds", "_mb": "MB", "gmacs_mean": "GMACs"}
"""Units, by how names of numbers end."""


def models_of(board: Leaderboard) -> list[ExportedModel]:
    """The board's models, each with a name of its own, in the board's order."""
    points, backbone = point_names(board), board.setting.backbone
    return [
        ExportedModel(
            own[0].method,
            f"{own[0].method} on {backbone}",
            f"{slug(own[0].method)}-{slug(backbone)}-{_told_apart(own[0])}",
            tuple(own),
            {entry.record_id: points[entry.record_id] for entry in own},
        )
        for own in by_checkpoint(board.entries)
    ]


def hub_dataset(setting: Setting, n: int) -> HubDataset | None:
    """The Hub's data set that ``n`` images are, all of its split; None where they are a part, or not on the Hub."""
    known = HUB.get((setting.dataset, setting.split))
    return known if known is not None and known.n == n else None


def said_of_data(setting: Setting, n: int) -> str:
    """Data set, split and images, for people.

    A part of a split must not be taken for the whole, so that the number stands in the name.
    """
    return f"{setting.dataset} {setting.split}, {n:,} images"


def numbers_of(board: Leaderboard, entry: Entry) -> Iterator[Number]:
    """What was measured besides and is one number, of as many images as its summary says, else of the board's."""
    kinds = measurements.load_all()
    for name, summary in sorted(entry.measurements.items()):
        better = kinds[name].higher_is_better if name in kinds else {}
        for key in sorted(better.keys() & summary.keys()):
            value = summary[key]
            if not is_number(value):
                continue
            n, stem = summary.get("n"), key.removesuffix("_pct")
            low, high = (summary.get(f"{stem}_ci95_{end}_pct") for end in ("low", "high"))
            yield Number(
                name=f"{name}.{key}",
                value=value,
                more_is_better=better[key],
                unit=next((unit for end, unit in UNITS.items() if key.endswith(end)), None),
                n=n if isinstance(n, int) else board.setting.n,
                ci95=(low, high) if is_number(low) and is_number(high) else None,
            )


def slug(text: str) -> str:
    """A name that any file system and site takes.

    >>> slug("vit_tiny/α 16")
    'vit_tiny-16'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "unnamed"


def _told_apart(entry: Entry) -> str:
    """Eight digits that tell a model from others of its method."""
    said = json.dumps([entry.method, entry.checkpoint_sha256, entry.options], sort_keys=True)
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:8]
