"""The JSON Schemas of what dynvit publishes: ``python -m dynvit.report.schema DIR`` writes them.

They say what each key is and of which type; what ties keys together (the sample counts, an interval around
its value) only ``dynvit validate`` checks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from dynvit.files import write_whole
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.follow_up import FollowUp
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.verification import Verification
from dynvit.measurements.base import measurements

MODELS: dict[str, type[BaseModel]] = {
    "record.schema.json": Record,
    "per_sample.schema.json": PerSampleResults,
    "leaderboard.schema.json": Leaderboard,
    "verified.schema.json": Verification,
}


def models() -> dict[str, type[BaseModel]]:
    """What a file's lines, or the whole of it, must be; by the name of its schema."""
    kinds = measurements.load_all()
    later = {f"{name}.schema.json": FollowUp[kind.Result] for name, kind in kinds.items()}  # type: ignore[name-defined]
    summaries = {f"{name}-summary.schema.json": kind.Summary for name, kind in kinds.items()}
    overviews = {f"{name}-overview.schema.json": kind.Overview for name, kind in kinds.items() if kind.Overview}
    return MODELS | later | summaries | overviews


def schemas() -> dict[str, str]:
    """The text of each schema file, by file name."""
    return {
        name: json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()},
            indent=1,
            sort_keys=True,
            ensure_ascii=False,
        )
        + "\n"
        for name, model in models().items()
    }


def main(folder: str) -> None:
    """Write the schema files into ``folder``."""
    for name, text in schemas().items():
        write_whole(Path(folder) / name, text.encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dynvit.report.schema DIR")
    main(sys.argv[1])
