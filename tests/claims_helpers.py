"""A project of few records, and a claim on it: what verdicts are tried on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dynvit.leaderboard.record import Record
from dynvit.leaderboard.training import TrainingRecord
from dynvit.report import RunData, build_board
from dynvit.report.claims import Evidence, Verdict, judge
from dynvit.report.claims.claim import Claim

DENSE, N = 2.0, 1000
TRAINED = {"division": "fine-tuned", "recipe_sha256": "d" * 64, "start_sha256": "e" * 64}


def claim(**test: Any) -> Claim:
    said = dict.fromkeys(("paper", "claim", "claimed", "setting", "source"), "x")
    return Claim.model_validate_json(json.dumps({"id": "x", **said, "test": test}))


def accuracy(entry: Mapping[str, Any], **more: Any) -> Claim:
    return claim(kind="accuracy", boards=["b"], entry=entry, **more)


class Project:
    """A folder with the boards of some records, and with result files."""

    def __init__(self, root: Path, measure: Callable[..., Record]) -> None:
        self.root, self._measure, self._records = root, measure, dict[str, list[Record]]()
        (root / "leaderboards").mkdir()
        (root / "docs" / "results").mkdir(parents=True)

    def add(
        self,
        method: str,
        share: float,
        right: int,
        *,
        seed: int = 0,
        division: str | None = "fine-tuned",
        target: float | None = None,
        board: str = "b",
    ) -> str:
        """An entry of a board, of 1,000 images; returns its record's id."""
        knobs = {} if method == "dense" else {"keep_ratio": round(share, 2)}
        record = self._measure(method, share * DENSE, right, n=N, dense=DENSE, knobs=knobs, seed=seed)
        training = {} if division is None else {"training": TrainingRecord(**TRAINED, seed=seed, target=target)}
        if division not in (None, "fine-tuned"):
            training = {"training": TrainingRecord(division=division)}  # type: ignore[arg-type]
        self._records.setdefault(board, []).append(record.model_copy(update=training))
        return record.record_id

    def verdict(self, of: Claim) -> Verdict:
        for name, records in self._records.items():
            build_board(RunData(records), command="dynvit bench").write(self.root / "leaderboards" / f"{name}.json")
        return judge(of, Evidence(self.root))

    def table(self, *rows: dict[str, Any], **more: Any) -> None:
        body = {"rows": list(rows), "validation_images": N} | more
        (self.root / "docs" / "results" / "t.json").write_text(json.dumps(body))
