"""What claims are held against: boards, per-sample results beside them, and result files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from dynvit.errors import InputError, first_fault
from dynvit.leaderboard.per_sample import PER_SAMPLE, PerSampleResults, PerSampleStore
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.reading import read_bytes, read_text
from dynvit.report.boards import Board, read_board
from dynvit.report.run_data import sorted_out


class AbsentError(Exception):
    """What a claim is tested on is not there: not measured yet."""


class UntoldError(Exception):
    """What is there cannot tell: not testable here, and why."""


class ResultTable(BaseModel):
    """What a claim needs of a result file, whatever else stands there."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    rows: tuple[dict[str, JsonValue], ...] = Field(description="by name, or by reuse")
    validation_images: int | None = Field(default=None, ge=1, description="images that top1_pct is of")
    attacked_images: int | None = Field(default=None, ge=1, description="images that robust_pct is of")
    training: dict[str, JsonValue] = Field(default={}, description="how all rows were trained")


@dataclass
class Evidence:
    """A project's ``leaderboards`` and ``docs/results``. Each file is read once."""

    root: Path
    _boards: dict[str, Board] = field(default_factory=dict)
    _per_sample: dict[str, Mapping[str, PerSampleResults]] = field(default_factory=dict)
    _attacked: dict[str, Mapping[str, Sequence[RobustnessResult]]] = field(default_factory=dict)

    def board(self, name: str) -> Board:
        """A published board. Raises: ``AbsentError``; ``InputError`` where it is none."""
        file = self.root / "leaderboards" / f"{name}.json"
        if name not in self._boards:
            if not file.is_file():
                raise AbsentError(f"there is no board {name} yet")
            self._boards[name] = read_board(file)
        return self._boards[name]

    def has(self, name: str) -> bool:
        """Whether a file of ``docs`` is there."""
        return (self.root / "docs" / name).is_file()

    def per_sample(self, name: str) -> Mapping[str, PerSampleResults]:
        """Per-sample results beside a board, by record id: ``NAME.per_sample.jsonl``, or in the folder ``NAME``."""
        if name not in self._per_sample:
            lines = [line for file in self._beside(name, PER_SAMPLE) for line in PerSampleStore(file).read()]
            self._per_sample[name] = {line.record_id: line for line in lines}
        return self._per_sample[name]

    def attacked(self, name: str) -> Mapping[str, Sequence[RobustnessResult]]:
        """Lines of attacks beside a board, by record id: ``NAME.robustness.jsonl``, or in the folder ``NAME``."""
        if name not in self._attacked:
            files = self._beside(name, f"{Robustness.name}.jsonl")
            lines = {line.key: line for file in files for line in Robustness.store(file).read()}
            self._attacked[name], _ = sorted_out(lines.values())  # as the board counts them, each attempt once
        return self._attacked[name]

    def table(self, name: str) -> ResultTable:
        """A result file, as JSON. Raises: ``AbsentError``; ``InputError`` where it is none."""
        file = self.root / "docs" / "results" / f"{name}.json"
        if not file.is_file():
            raise AbsentError(f"there is no {file.name} yet")
        try:
            return ResultTable.model_validate_json(read_bytes(file, "result file"))
        except ValidationError as error:
            said = first_fault(error)
            raise InputError(f"result file {str(file)!r} is none: {said}; write it again by its command") from error

    def rows(self, name: str) -> list[dict[str, float | None]]:
        """A result file, as CSV of numbers; an empty cell is None. Raises: ``AbsentError``; ``InputError``."""
        file = self.root / "docs" / "results" / f"{name}.csv"
        if not file.is_file():
            raise AbsentError(f"there is no {file.name} yet")
        try:
            return [
                {key: _finite(cell) if cell else None for key, cell in row.items()}
                for row in csv.DictReader(io.StringIO(read_text(file, "result file")))
            ]
        except (ValueError, TypeError, csv.Error) as error:
            raise InputError(f"result file {str(file)!r} must hold numbers ({error}): write it again") from error

    def _beside(self, name: str, what: str) -> list[Path]:
        folder = self.root / "leaderboards"
        return [file for file in (folder / f"{name}.{what}", folder / name / what) if file.is_file()]


def _finite(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"{cell} is not finite")
    return number
