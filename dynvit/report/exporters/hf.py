"""For the Hugging Face Hub: a model card's ``model-index``, and ``.eval_results/*.yaml``.

Formats: huggingface_hub 2.4 (``EvalResult`` and ``EvalResultEntry``); https://huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from dynvit.leaderboard.board import Entry
from dynvit.plain import visible
from dynvit.report.boards import Board
from dynvit.report.exporters import Files, register_exporter
from dynvit.report.exporters.models import ExportedModel, hub_dataset, models_of, numbers_of, said_of_data
from dynvit.version import __version__

TASK = "default"
"""The task of a benchmark that has one. Where a data set's ``eval.yaml`` calls it otherwise, so must the files."""


@register_exporter("hf")
def hugging_face(board: Board) -> Files:
    """Hugging Face Hub: model-index metadata, and .eval_results where all of a split was measured; a folder a model."""
    files: dict[str, bytes] = {}
    for model in models_of(board):
        files[f"{model.slug}/README.md"] = _card(board, model)
        for entry in model.entries:
            result = _eval_result(board, model, entry)
            if result is not None:
                name = f"{board.setting.dataset}-{entry.record_id}.yaml"
                files[f"{model.slug}/.eval_results/{name}"] = _yaml([result])
    return files


def _card(board: Board, model: ExportedModel) -> bytes:
    """A card of metadata alone: its front matter belongs into the card of the model's repository."""
    setting = board.setting
    metadata = {
        "base_model": setting.backbone,
        "model-index": [{"name": model.name, "results": _results(board, model)}],
        "pipeline_tag": "image-classification",
        "tags": ["dynvit", "image-classification", model.method],
    }
    front = _yaml(metadata)
    text = (
        f"\n# {visible(model.name)}\n\nMeasured by dynvit {board.generated.dynvit} on "
        f"{visible(said_of_data(setting, setting.n))}; exported by dynvit {__version__}. GMACs are means over "
        f"images by the rule {visible(setting.rule)}; dense has {setting.dense_gmacs:.6g}.\n"
    )
    return b"---\n" + front + b"---\n" + text.encode()


def _results(board: Board, model: ExportedModel) -> list[dict[str, Any]]:
    """One for each number of images: what was measured of a part of them stands under a data set of that many."""
    by_images: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in model.entries:
        for n, metric in _metrics(board, model, entry):
            by_images[n].append(metric)
    return [
        {"task": {"type": "image-classification"}, "dataset": _dataset(board, n), "metrics": metrics}
        for n, metrics in by_images.items()
    ]


def _dataset(board: Board, n: int) -> dict[str, Any]:
    setting, known = board.setting, hub_dataset(board.setting, n)
    return {
        "type": known.id if known else setting.dataset,
        "name": said_of_data(setting, n),
        "split": known.split if known else setting.split,
    }


def _metrics(board: Board, model: ExportedModel, entry: Entry) -> Iterator[tuple[int, dict[str, Any]]]:
    """A model has a point for each budget: the names of its metrics and their arguments say which.

    Yields: with the number of images that each is of.
    """
    said, n = model.points[entry.record_id], board.setting.n

    def metric(kind: str, name: str, value: float, more: Mapping[str, Any] = {}) -> dict[str, Any]:
        args = {"record_id": entry.record_id, "knobs": dict(entry.knobs), **more}
        return {"type": kind, "name": f"{name}, {said}" if said else name, "value": value, "args": args}

    yield n, metric("accuracy", "top-1 accuracy", entry.top1_pct / 100)
    if entry.top5_pct is not None:
        yield n, metric("top_5_accuracy", "top-5 accuracy", entry.top5_pct / 100)
    yield n, metric("gmacs", "GMACs an image, mean", entry.gmacs_mean)
    for found in numbers_of(board, entry):
        more = {"unit": found.unit, "ci95": None if found.ci95 is None else list(found.ci95)}
        known = {name: value for name, value in more.items() if value is not None}
        yield found.n, metric(found.name, found.name, found.value, known)


def _eval_result(board: Board, model: ExportedModel, entry: Entry) -> dict[str, Any] | None:
    """One scalar: top-1 in percent, as the Hub's benchmarks show it; None where a part of a split was measured."""
    known = hub_dataset(board.setting, board.setting.n)
    if known is None:
        return None
    cost = f"{entry.gmacs_mean:.4g} of {board.setting.dense_gmacs:.4g} GMACs an image"
    return {
        "dataset": {"id": known.id, "task_id": TASK},
        "value": entry.top1_pct,
        "date": board.generated.date_utc.isoformat(),
        "notes": ", ".join(filter(None, [f"{model.method} at {model.points[entry.record_id] or 'its point'}", cost])),
    }


def _yaml(value: Any) -> bytes:
    """Plain YAML: what stands twice is written twice."""
    import yaml

    plain = json.loads(json.dumps(value))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1000)
    return text.encode(errors="backslashreplace")
