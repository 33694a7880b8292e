"""For every-eval-ever, the shared store of evaluations: its schema of aggregates, version 0.3.0 (evaleval, MIT)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from dynvit.leaderboard.board import Entry
from dynvit.report.boards import Board
from dynvit.report.exporters import Files, register_exporter
from dynvit.report.exporters.models import ExportedModel, hub_dataset, models_of, numbers_of, said_of_data, slug

SCHEMA_VERSION = "0.3.0"
NOT_SAID = "unknown"
"""What a board does not say: who measured it, and how they stand to the model's makers."""


@register_exporter("eee")
def every_eval_ever(board: Board) -> Files:
    """every-eval-ever: aggregates by its schema 0.3.0, a file a model, in the folders of its store."""
    files: dict[str, bytes] = {}
    for model in models_of(board):
        body = _evaluation(board, model)
        text = json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False)
        named = uuid.UUID(bytes=hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:16], version=4)
        place = f"data/dynvit-{slug(board.setting.dataset)}/dynvit/{model.slug}/{named}.json"
        files[place] = text.encode(errors="backslashreplace") + b"\n"
    return files


def _evaluation(board: Board, model: ExportedModel) -> dict[str, Any]:
    when = str(int(board.generated.date_utc.timestamp()))
    id_ = f"dynvit/{model.slug}"
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"dynvit-{slug(board.setting.dataset)}/{id_}/{when}",
        "evaluation_timestamp": when,
        "retrieved_timestamp": when,
        "source_metadata": {
            "source_name": "dynvit leaderboard",
            "source_type": "evaluation_run",
            "source_organization_name": NOT_SAID,
            "evaluator_relationship": "other",
            "additional_details": {"command": board.generated.command, "schema": "dynvit board 2"},
        },
        "eval_library": {"name": "dynvit", "version": board.generated.dynvit},
        "model_info": {
            "name": model.name,
            "id": id_,
            "additional_details": _words(
                {
                    "deployment_type": "self_deployed",
                    "model_availability": NOT_SAID,
                    "method": model.method,
                    "options": model.entries[0].options,
                    "checkpoint_sha256": model.entries[0].checkpoint_sha256,
                    "backbone": board.setting.backbone,
                    "image_size": list(board.setting.image_size),
                    "division": board.division,
                }
            ),
        },
        "evaluation_results": [one for entry in model.entries for one in _results(board, model, entry)],
    }


def _results(board: Board, model: ExportedModel, entry: Entry) -> Iterator[dict[str, Any]]:
    """Each number of an entry: accuracy with its interval, compute, and what was measured besides."""
    n = board.setting.n
    interval = {
        "confidence_interval": {
            "lower": entry.top1_ci95_low_pct,
            "upper": entry.top1_ci95_high_pct,
            "confidence_level": 0.95,
            "method": "Wilson",
        },
        "num_samples": n,
    }
    percent: dict[str, Any] = {"metric_kind": "accuracy", "metric_unit": "percent", "min_score": 0, "max_score": 100}
    yield _result(board, model, entry, "accuracy", "top-1 accuracy", entry.top1_pct, True, percent, interval)
    if entry.top5_pct is not None:
        yield _result(board, model, entry, "top_5_accuracy", "top-5 accuracy", entry.top5_pct, True, percent)
    macs = {"metric_kind": "compute", "metric_unit": "GMACs", "min_score": 0}
    yield _result(board, model, entry, "dynvit.gmacs_mean", "GMACs an image, mean", entry.gmacs_mean, False, macs)
    for found in numbers_of(board, entry):
        unit = {} if found.unit is None else {"metric_unit": found.unit}
        less: dict[str, Any] = {"num_samples": found.n}
        if found.ci95 is not None:
            low, high = found.ci95
            less["confidence_interval"] = {"lower": low, "upper": high, "confidence_level": 0.95}
        one = _result(
            board, model, entry, f"dynvit.{found.name}", found.name, found.value, found.more_is_better, unit, less
        )
        yield one | {"source_data": _source(board, found.n)}


def _result(
    board: Board,
    model: ExportedModel,
    entry: Entry,
    metric: str,
    name: str,
    value: float,
    more_is_better: bool,
    config: Mapping[str, Any],
    uncertainty: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One number with its metric.

    Args:
        board: It stands on.
        model: Whose it is.
        entry: At which point.
        metric: The metric's id.
        name: The metric's name.
        value: The number.
        more_is_better: Which way.
        config: What else is known of the metric.
        uncertainty: Of the number.
    """
    setting = board.setting
    details = {
        "record_id": entry.record_id,
        "point": model.points[entry.record_id],
        "knobs": entry.knobs,
        "target_gmacs": entry.target_gmacs,
        "dense_gmacs": setting.dense_gmacs,
        "rule": setting.rule,
    }
    score: dict[str, Any] = {"score": value, "details": _words(details)}
    return {
        "evaluation_result_id": f"{entry.record_id}/{metric}",
        "evaluation_name": f"{setting.dataset} {setting.split}",
        "source_data": _source(board, setting.n),
        "metric_config": {
            "metric_id": metric,
            "metric_name": name,
            "lower_is_better": not more_is_better,
            "score_type": "continuous",
            "min_score": "-Infinity",
            "max_score": "Infinity",
            **config,
        },
        "score_details": score if uncertainty is None else score | {"uncertainty": dict(uncertainty)},
    }


def _source(board: Board, n: int) -> dict[str, Any]:
    """The data of a number of ``n`` images."""
    setting, known = board.setting, hub_dataset(board.setting, n)
    details = _words({"split": setting.split, "images": n, "manifest_sha256": setting.manifest_sha256})
    named = {"dataset_name": said_of_data(setting, n), "additional_details": details}
    if known is None:
        return named | {"source_type": "other"}
    split = {"validation": "val"}.get(known.split, known.split)
    return named | {"source_type": "hf_dataset", "hf_repo": known.id, "hf_split": split, "samples_number": known.n}


def _words(details: Mapping[str, Any]) -> dict[str, str]:
    """The details as texts, which is what the schema takes; what is not known is left out."""
    said = {name: value for name, value in details.items() if value is not None}
    return {name: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for name, v in said.items()}
