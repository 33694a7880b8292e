"""A timing as a board has it, any part of it to choose."""

from __future__ import annotations

from typing import Any

from dynvit.measurements.speed.result import SpeedResult


def timing(batch: int, speedup: float = 1.2, **more: Any) -> SpeedResult:
    given: dict[str, Any] = {
        "device": "a processor",
        "dtype": "float32",
        "threads": 1,
        "execution_mode": "predict",
        "batch_size": batch,
        "latency_p50_ms": 1.0 * batch,
        "latency_p95_ms": 1.5 * batch,
        "images_per_s": 1000.0,
        "dense_images_per_s": 1000.0 / speedup,
        "peak_memory_mb": 3.5,
        "speedup": speedup,
        "speedup_low": speedup - 0.1,
        "speedup_high": speedup + 0.1,
        "speedup_theoretical": 1.5,
        "speedup_share": speedup / 1.5,
        "rounds_valid": 7,
        "rounds_run": 9,
    }
    return SpeedResult(**given | more)
