"""The folder of a bench as it might have been, made in a moment: every file, and nothing that contradicts itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynvit.leaderboard.follow_up import FollowUp, follow_up_key
from dynvit.leaderboard.interval import wilson
from dynvit.leaderboard.per_sample import PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record, saving_lost_pct
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.base import measurements
from dynvit.report import build_board, read_run

N, FEW, DENSE = 40, 12, 2.0
ALL, SOME = images_hash(map(str, range(N))), images_hash(map(str, range(FEW)))
# method, GMACs, images right, knobs, seed of the training
POINTS = (
    ("dense", DENSE, 31, {}, 0),
    ("dvt", 1.5, 33, {"threshold": 0.75}, 0),
    ("dvt", 1.2, 28, {"threshold": 0.5}, 0),
    ("topk", 1.0, 25, {"keep_ratio": 0.5}, 0),
    ("topk", 1.0, 27, {"keep_ratio": 0.5}, 1),
)
CHOICES = (*POINTS, ("topk", 1.4, 27, {"keep_ratio": 0.7}, 0), ("topk", 1.4, 29, {"keep_ratio": 0.7}, 1))
"""With more than one point of each training."""


def make_bench(folder: Path, measure: Callable[..., Record], points: Sequence[Any] = POINTS) -> Path:
    """Records with their per-sample results, attacks, corruptions, timings, and the board of it all."""
    random = np.random.default_rng(0)
    records = [
        _adaptive(measure(name, gmacs, right, n=N, dense=DENSE, knobs=knobs, seed=seed))
        for name, gmacs, right, knobs, seed in points
    ]
    with RunStore(folder / "runs.jsonl") as runs, PerSampleStore(folder / "per_sample.jsonl") as kept:
        for record in records:
            bits = random.permutation(np.arange(N) < record.accuracy.n_correct)
            kept.append(PerSampleResults(record_id=record.record_id, n=N, images=ALL, right=pack(bits)))
            runs.append(record)
    for record in records:
        _attack(folder, record, random)
        _corrupt(folder, record, random)
        _time(folder, record)
    build_board(read_run(folder), command="dynvit bench").write(folder / "leaderboard.json")
    return folder


def _adaptive(record: Record) -> Record:
    """A cascade's images cost differently."""
    if record.method.name != "dvt":
        return record
    mean = record.compute.gmacs_mean
    spread = {"gmacs_p5": 0.5 * mean, "gmacs_p50": 0.9 * mean, "gmacs_p95": 1.5 * mean, "gmacs_max": 1.6 * mean}
    return record.model_copy(update={"compute": record.compute.model_copy(update=spread)})


def _attack(folder: Path, record: Record, random: np.random.Generator) -> None:
    clean = np.arange(FEW) < 9
    slower = 1.0 if not record.point.knobs else 1.1
    for eps, left in ((0.01, 0.8), (0.05, 0.3)):
        for attack, settings in (("fgsm", {}), ("pgd", {"steps": 5, "step_size": 0.25})):
            for criterion in ("misclassify", "slowdown"):
                right = clean & (random.random(FEW) < left)
                config = {"attack": attack, "settings": settings, "norm": "linf", "eps": eps, "goal": criterion}
                config |= {"variant": "adaptive", "images": SOME, "source": None}
                result = {"threat": "white-box", "norm": "linf", "eps": eps, "attack": attack, "settings": settings}
                result |= {"adaptive": True, "criterion": criterion, "variant": "adaptive"}
                _append(folder, "robustness", record, config, result | _images(record, right, clean, slower))


def _corrupt(folder: Path, record: Record, random: np.random.Generator) -> None:
    clean = np.arange(FEW) < 9
    slower = 1.0 if not record.point.knobs else 1.05
    for corruption in ("brightness", "contrast"):
        for severity in (1, 5):
            settings = {"version": 1, "parameters": "imagenet-c", "edge_px": 224, "seed": 0}
            config = {"threat": "corruption", "attack": corruption, "severity": severity, "source": "generated"}
            result = {"corruption": corruption, "severity": severity, "source": "generated", "settings": settings}
            result |= _images(record, random.random(FEW) < 0.6, clean, slower)
            _append(folder, "corruption", record, config | {"images": "a" * 64} | settings, result)


def _images(record: Record, right: np.ndarray, clean: np.ndarray, slower: float) -> dict[str, Any]:
    gmacs, correct = record.compute.gmacs_mean, int(right.sum())
    low, high = wilson(correct, FEW)
    return {
        "n": FEW,
        "accuracy_pct": 100 * correct / FEW,
        "accuracy_ci95_low_pct": low,
        "accuracy_ci95_high_pct": high,
        "gmacs_mean": slower * gmacs,
        "clean_accuracy_pct": 100 * int(clean.sum()) / FEW,
        "clean_gmacs_mean": gmacs,
        "saving_lost_pct": saving_lost_pct(slower * gmacs, gmacs, DENSE),
        "images": SOME,
        "right": pack(right),
    }


def _time(folder: Path, record: Record) -> None:
    theoretical = DENSE / record.compute.gmacs_mean
    for size, images in ((4, 32), (32, 32)):
        config = {"device": "a processor", "dtype": "float32", "threads": 1, "batch_size": size, "images_seed": 0}
        latency = 1e3 * size / 500.0
        result = {"device": "a processor", "dtype": "float32", "threads": 1, "batch_size": size, "images_seed": 0}
        result |= {"execution_mode": "predict", "dense_execution_mode": "dense", "peak_memory_mb": 1.5}
        result |= {"dense_peak_memory_mb": 2.5, "memory_by": "live tensors", "images": images, "warmup_runs": 2}
        result |= {"latency_p50_ms": latency, "latency_p95_ms": 1.5 * latency, "images_per_s": 500.0}
        result |= {"dense_images_per_s": 500.0 / 1.2, "speedup": 1.2, "speedup_low": 1.1, "speedup_high": 1.3}
        result |= {"speedup_theoretical": theoretical, "speedup_share": 1.2 / theoretical, "rounds_valid": 5}
        result |= {"rounds_run": 6, "batches_timed": 5 * images // size, "different_images": images}
        _append(folder, "speed", record, config, result)


def _append(folder: Path, name: str, record: Record, config: dict[str, Any], result: dict[str, Any]) -> None:
    kind = measurements.get(name)
    line: Any = FollowUp[kind.Result]  # type: ignore[name-defined]
    with kind.store(folder) as store:
        store.append(
            line(
                record_id=record.record_id,
                key=follow_up_key(record.record_id, config),
                config=config,
                result=kind.Result(**result),
                environment=record.environment,
                command="dynvit bench",
                git_sha=None,
                date_utc=record.date_utc,
                wall_s=1.0,
            )
        )
