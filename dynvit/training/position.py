"""How far an epoch has come: its steps, its losses so far, and the random states of every process."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from dynvit.training.meter import Meter


@dataclass(frozen=True)
class Position:
    """An epoch after ``steps`` of its steps, in types that ``torch.load`` reads without trust.

    ``random`` holds random states by rank; ``sums`` and ``counts`` are the meter's. Units: ``seconds`` of its steps.
    """

    steps: int
    seconds: float
    sums: dict[str, float]
    counts: dict[str, int]
    random: list[dict[str, Any]]

    @classmethod
    def reached(cls, steps: int, seconds: float, meter: Meter, accelerator: Accelerator) -> Position:
        """Where all processes stand now; each of them must ask."""
        sums, counts = meter.taken()
        return cls(steps, seconds, sums, counts, gather_object([_random_state(accelerator.device)]))

    def restore_random(self, accelerator: Accelerator) -> bool:
        """Give this process its random states back; False where there were more or fewer processes."""
        if len(self.random) != accelerator.num_processes:
            return False
        _set_random_state(self.random[accelerator.process_index], accelerator.device)
        return True


def _random_state(device: torch.device) -> dict[str, Any]:
    kind, keys, place, has_gauss, gauss = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (
            str(kind),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(place),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Any], device: torch.device) -> None:
    kind, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
