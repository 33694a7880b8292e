"""Calibration error: is a model as sure as it is right, and is each exit of a cascade? Measured on reported images.

Expected calibration error: Guo et al., arXiv 1706.04599, equation 3, over bins of equal mass: Nixon et al., arXiv
1904.01685. Brier score: squared distance of the probabilities from the label, summed over classes, 0 to 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.record import Frozen, Percent
from dynvit.leaderboard.table import plain_table
from dynvit.measurements.base import register_measurement
from dynvit.measurements.samples import SampleMeasurement, SampleValues
from dynvit.measurements.task import MeasuredPoint, Task
from dynvit.settings import Settings, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table
    from torch import Tensor

    from dynvit.measurements.run import Run


class CalibrationSettings(Settings):
    """How calibration error is measured."""

    bins: int = setting(15, help="Bins of equally many images. Default: 15", metavar="N", ge=1)
    limit: int | None = setting(None, help="Images, a fair draw. Default: all that are reported", metavar="N", ge=1)


class Bin(Frozen):
    """Images of about the same confidence."""

    n: int = Field(ge=1, description="images")
    confidence_pct: Percent = Field(description="mean probability of the answer, percent")
    accuracy_pct: Percent = Field(description="top-1 accuracy, percent")


class Reliability(Bin):
    """How far confidence is from accuracy on some images."""

    ece_pct: Percent = Field(description="expected calibration error over bins of equal mass, percent")
    brier: float = Field(ge=0, le=2, description="mean Brier score, summed over classes")
    bins: tuple[Bin, ...] = Field(min_length=1, description="the bins, by rising confidence")


class ExitReliability(Reliability):
    """The same of the images that left a cascade at one exit."""

    exit: int = Field(ge=0, description="exit, the first is 0")


class CalibrationResult(Reliability):
    """One point's calibration. It is also the record's summary in a board."""

    exits: tuple[ExitReliability, ...] = Field(default=(), description="of each exit that answered; empty: no cascade")


def reliability(values: Mapping[str, Any], bins: int) -> dict[str, Any]:
    """The fields of ``Reliability``. Shape: ``confidence``, ``right`` and ``brier`` (n,)."""
    import numpy as np

    def mean_of(rows: Any) -> Bin:
        confidence, right = (100 * float(values[name][rows].mean()) for name in ("confidence", "right"))
        return Bin(n=len(rows), confidence_pct=confidence, accuracy_pct=right)

    order = np.argsort(values["confidence"], kind="stable")
    parts = [mean_of(rows) for rows in np.array_split(order, min(bins, len(order)))]
    ece = sum(part.n * abs(part.confidence_pct - part.accuracy_pct) for part in parts) / len(order)
    return dict(mean_of(order)) | {"ece_pct": ece, "brier": float(values["brier"].mean()), "bins": tuple(parts)}


@register_measurement("ece")
class Calibration(SampleMeasurement[CalibrationSettings, CalibrationResult, CalibrationResult]):
    """Expected calibration error and Brier score of every point."""

    name = "ece"
    summary = "calibration error and Brier score, for a cascade per exit"
    Settings, Result, Summary = CalibrationSettings, CalibrationResult, CalibrationResult
    higher_is_better: ClassVar[Mapping[str, bool]] = {"ece_pct": False, "brier": False}

    def per_sample(self, at: MeasuredPoint, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """Confidence, whether it was right, Brier score and, in a cascade, the exit. Shape: each (B,)."""
        said = at.opened.model.predict(images, at.point)
        chances = said.logits.double().softmax(1).nan_to_num(0.0)  # an answer that is no number claims nothing
        (confidence, answer), true = chances.max(1), chances.gather(1, labels[:, None])[:, 0]
        brier = chances.square().sum(1) - 2 * true + 1
        kept = {"confidence": confidence, "right": (answer == labels) & (confidence > 0), "brier": brier.clamp(0, 2)}
        return kept if said.usage.exit is None else kept | {"exit": said.usage.exit}

    def result(self, task: Task, share: SampleValues, run: Run) -> CalibrationResult:
        """Of all images, and of those that left at each exit."""
        values, bins, exits = share.values, self.settings.bins, []
        for exit in sorted(set(values["exit"].tolist())) if "exit" in values else ():
            left = {name: rows[values["exit"] == exit] for name, rows in values.items()}
            exits.append(ExitReliability(exit=exit, **reliability(left, bins)))
        return CalibrationResult(exits=tuple(exits), **reliability(values, bins))

    @classmethod
    def columns(cls, board: Leaderboard) -> Mapping[str, Mapping[str, str]]:
        """``ECE %`` in the main table."""
        return {"ECE %": {name: f"{found.ece_pct:.2f}" for name, found in cls.of(board).items()}}

    @classmethod
    def rows(cls, board: Leaderboard) -> list[dict[str, Any]]:
        """A row an entry, then one for each of its exits."""
        names = point_names(board)
        return [
            {"method": entry.method, "point": names[entry.record_id], "record_id": entry.record_id, "exit": exit}
            | part.model_dump(include={"n", "ece_pct", "brier", "confidence_pct", "accuracy_pct"})
            for entry, found in cls.measured(board)
            for exit, part in [("all", found), *((one.exit, one) for one in found.exits)]
        ]

    @classmethod
    def tables(cls, board: Leaderboard) -> Iterator[Table]:
        """The rows."""
        shown = plain_table("calibration", "ECE over bins of equal mass · an exit's row: the images that left there")
        for heading in ("method", "point", "exit", "images", "ECE %", "Brier", "confidence %", "top-1 %"):
            shown.add_column(heading, justify="left" if heading in ("method", "point") else "right")
        for row in cls.rows(board):
            percents = (f"{row[name]:.2f}" for name in ("confidence_pct", "accuracy_pct"))
            score = f"{row['ece_pct']:.2f}", f"{row['brier']:.4f}"
            shown.add_row(row["method"], row["point"], str(row["exit"]), f"{row['n']:,}", *score, *percents)
        if shown.rows:
            yield shown

    @classmethod
    def figure(cls, board: Leaderboard) -> Figure | None:
        """Reliability: accuracy over confidence, a panel a method, a line an entry."""
        from matplotlib.figure import Figure

        measured, names = cls.measured(board), point_names(board)
        methods = list(dict.fromkeys(entry.method for entry, _ in measured))
        if not methods:
            return None
        figure = Figure(figsize=(0.4 + 3.2 * len(methods), 3.6), layout="constrained")
        panels = dict(zip(methods, figure.subplots(1, len(methods), sharey=True, squeeze=False)[0], strict=True))
        for entry, found in measured:
            line = [part.confidence_pct for part in found.bins], [part.accuracy_pct for part in found.bins]
            panels[entry.method].plot(*line, marker="o", markersize=3, linewidth=1.2, label=names[entry.record_id])
        for method, axes in panels.items():
            axes.plot([0, 100], [0, 100], color="#8a8a8a", linestyle="--", linewidth=1, zorder=0)
            axes.set(title=method, xlabel="confidence (%)", xlim=(0, 100), ylim=(0, 100))
            axes.legend(fontsize="x-small", frameon=False)
        panels[methods[0]].set_ylabel("accuracy (%)")
        return figure
