"""What is written of one corruption on one record."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from dynvit.leaderboard.per_sample import unpack
from dynvit.leaderboard.record import Amount, Frozen, JsonObject, Name, Percent

GENERATED, PRECOMPUTED = "generated", "pre-computed set"


class CorruptionResult(Frozen):
    """Accuracy and compute under one corruption at one severity."""

    corruption: Name = Field(description="corruption")
    severity: int = Field(ge=1, le=5, description="severity, 1 to 5")
    source: Name = Field(description="generated, in memory; or read from a pre-computed set")
    settings: JsonObject = Field(description="how the images come to be, by name")
    n: int = Field(ge=1, description="images")
    accuracy_pct: Percent = Field(description="top-1 accuracy under the corruption, percent")
    accuracy_ci95_low_pct: Percent | None = Field(default=None, description="lower end of its 95 % interval, percent")
    accuracy_ci95_high_pct: Percent | None = Field(default=None, description="upper end of its 95 % interval, percent")
    gmacs_mean: Amount = Field(description="mean GMACs an image under the corruption")
    clean_accuracy_pct: Percent | None = Field(default=None, description="top-1 accuracy of the same images, clean")
    clean_gmacs_mean: Amount | None = Field(default=None, description="mean GMACs an image of the same images, clean")
    saving_lost_pct: float | None = Field(
        default=None,
        description="share of the clean images' saving against dense that is lost, percent; null: nothing was saved",
    )
    images: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="which images: a hash of their sorted sample ids; results are compared within one"
    )
    right: str | None = Field(
        default=None, description="which images are answered right: a bit each in the order of sorted ids, base64"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.right is not None:
            unpack(self.right, self.n)
        return self


def from_version_1(result: dict[str, Any]) -> dict[str, Any] | None:
    """A corruption that version 1 wrote as an attack without a norm; None for an attack."""
    if result.get("threat") != "corruption":
        return None
    settings = dict(result["settings"])
    severity, source = settings.pop("severity"), settings.pop("source")
    kept = {name: value for name, value in result.items() if name in CorruptionResult.model_fields}
    return kept | {
        "corruption": result["attack"],
        "severity": severity,
        "source": GENERATED if source == GENERATED else PRECOMPUTED,
        "settings": settings,
        "gmacs_mean": result["gmacs_mean_under_attack"],
        "saving_lost_pct": result.get("saving_taken_back_pct"),
    }
