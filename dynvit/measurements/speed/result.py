"""What is written of one batch size."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from dynvit.leaderboard.record import Amount, Count, Frozen, Name


class SpeedResult(Frozen):
    """Time and memory at one batch size on one device, beside the dense backbone in the same run."""

    device: Name = Field(description="device model")
    dtype: Name = Field(description="number type of the forward pass")
    batch_size: int = Field(ge=1, description="images a batch")
    threads: int | None = Field(ge=1, description="processor threads; null on an accelerator")
    execution_mode: Name = Field(
        description="what was timed: predict (skipped work is skipped); ', compiled' where torch.compile made it"
    )
    latency_p50_ms: Amount = Field(description="median time of a batch, milliseconds")
    latency_p95_ms: Amount = Field(description="95th percentile of a batch's time, milliseconds")
    latency_p99_ms: Amount | None = Field(
        default=None, description="99th percentile of a batch's time, milliseconds; null: fewer than 100 batches"
    )
    images_per_s: Amount = Field(description="throughput, images a second")
    peak_memory_mb: Amount | None = Field(description="peak memory, MB (1e6 bytes); null: not measured")
    dense_execution_mode: Name | None = Field(default=None, description="the same of the dense backbone")
    dense_images_per_s: Amount | None = Field(default=None, description="dense throughput in the same rounds, images/s")
    dense_peak_memory_mb: Amount | None = Field(default=None, description="dense peak memory, MB")
    memory_by: Name | None = Field(
        default=None, description="how peak memory was found: the CUDA allocator, or live tensors added up"
    )
    speedup: Amount | None = Field(default=None, description="realised speed-up over dense, median of the valid rounds")
    speedup_low: Amount | None = Field(default=None, description="the least of the valid rounds")
    speedup_high: Amount | None = Field(default=None, description="the most of the valid rounds")
    speedup_theoretical: Amount | None = Field(
        default=None, description="dense MACs over mean MACs of the very images that were timed"
    )
    speedup_share: Amount | None = Field(default=None, description="realised over theoretical speed-up")
    energy_mj_per_image: Amount | None = Field(
        default=None, description="energy of the accelerator's board, mJ an image; null: nobody counts it"
    )
    dense_energy_mj_per_image: Amount | None = Field(default=None, description="the same of the dense backbone")
    images: int | None = Field(default=None, ge=1, description="images of a round")
    different_images: int | None = Field(default=None, ge=1, description="different images among them")
    images_seed: int | None = Field(default=None, description="seed that drew the images")
    batches_timed: int | None = Field(default=None, ge=1, description="batches under the percentiles")
    rounds_valid: int | None = Field(default=None, ge=1, description="rounds in which nothing else slowed the machine")
    rounds_run: int | None = Field(default=None, ge=1, description="rounds that were run")
    warmup_runs: Count | None = Field(default=None, description="passes of each before the first round")
    batch_size_asked: int | None = Field(
        default=None, ge=1, description="the batch that was asked for and did not fit in memory; null: this one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.latency_p50_ms > self.latency_p95_ms:
            raise ValueError("latency_p50_ms is above latency_p95_ms")
        if self.speedup is not None and self.speedup_theoretical and self.speedup_share is not None:
            share = self.speedup / self.speedup_theoretical
            if not math.isclose(self.speedup_share, share, rel_tol=1e-6):
                raise ValueError("speedup_share is not speedup / speedup_theoretical")
        if self.rounds_valid and self.rounds_run and self.rounds_valid > self.rounds_run:
            raise ValueError("rounds_valid is above rounds_run")
        return self


RENAMED = {"speedup_promised": "speedup_theoretical", "rounds_kept": "rounds_valid"}
"""Fields of version 1, and what they are called now."""
