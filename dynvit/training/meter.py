"""Losses of an epoch, read from the device only now and then."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from dynvit.interface import Losses


class Meter:
    """Means over steps and processes. A part that a loss gives only in some steps is a mean over those."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.note = ""
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._fresh: list[dict[str, Tensor]] = []

    def add(self, losses: Losses) -> None:
        """Keep one step's losses, unread."""
        self._fresh.append({"total": losses.total, **losses.parts})

    def read(self) -> int | None:
        """Take in what was added; how many steps ago the first total that is not finite was, or None."""
        if not self._fresh:
            return None
        names = list(dict.fromkeys(name for row in self._fresh for name in row))
        absent = torch.full_like(self._fresh[0]["total"], math.nan)
        table = torch.stack([torch.stack([row.get(name, absent) for name in names]) for row in self._fresh])
        # Over all processes, so that all of them stop where one diverges.
        rows: list[list[float]] = self.accelerator.reduce(table, reduction="mean").tolist()
        self._fresh = []
        for row in rows:
            for name, value in zip(names, row, strict=True):
                if not math.isnan(value):
                    self._sums[name] = self._sums.get(name, 0.0) + value
                    self._counts[name] = self._counts.get(name, 0) + 1
        self.note = f", loss {rows[-1][0]:.4g}"
        bad = next((i for i, row in enumerate(rows) if not math.isfinite(row[0])), None)
        return None if bad is None else len(rows) - 1 - bad

    def taken(self) -> tuple[dict[str, float], dict[str, int]]:
        """The sums so far, and of how many steps each is; what was not read is not in them."""
        return dict(self._sums), dict(self._counts)

    def go_on(self, sums: Mapping[str, float], counts: Mapping[str, int]) -> None:
        """Begin with what another process has ``taken``."""
        self._sums, self._counts = dict(sums), dict(counts)

    def means(self) -> dict[str, float]:
        """The mean of each part so far, and of the total."""
        return {name: value / self._counts[name] for name, value in self._sums.items()}
