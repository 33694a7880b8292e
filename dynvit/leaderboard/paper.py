"""Numbers that a paper prints, to stand beside ours: never in a front, never mixed with measurements."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dynvit.leaderboard.record import Amount, Frozen, Name, Percent, Pixels


class PaperRow(Frozen):
    """One row of a published table. It has what papers give; nobody can measure it again from this."""

    provenance: Literal["paper"] = Field(default="paper", description="a paper's claim, not measured here")
    method: Name = Field(description="registered name of the method, or the paper's name for it")
    label: Name = Field(description="the row as the paper names it")
    backbone: Name = Field(description="timm's name of the backbone")
    dataset: Name = Field(description="registered name of the dataset")
    split: Name = Field(description="split")
    gmacs_mean: Amount = Field(description="GMACs an image as printed (papers write GFLOPs)")
    rule: Name = Field(
        description="how the paper counted: matmul+conv, fvcore, formula, …; by one "
        "of ours it is not set beside a board of another"
    )
    top1_pct: Percent = Field(description="top-1 accuracy as printed, percent")
    top5_pct: Percent | None = Field(description="top-5 accuracy as printed, percent; null: not given")
    source: Name = Field(description="paper or repository, with table or file")
    page: int | None = Field(
        default=None, ge=1, exclude_if=lambda page: page is None, description="page of the source; absent: not known"
    )
    as_read: bool = Field(
        default=False, exclude_if=lambda read: not read, description="read off a figure, as far as eyes can"
    )
    n: int | None = Field(
        default=None,
        ge=1,
        exclude_if=lambda n: n is None,
        description="images that it is of; absent: not told. A row is not set beside a board of fewer",
    )
    image_size: tuple[Pixels, Pixels] | None = Field(
        default=None,
        exclude_if=lambda size: size is None,
        description="height and width of the input, pixels; absent: the backbone's own, which its name must end with",
    )
    robust_pct: Percent | None = Field(
        default=None, exclude_if=lambda pct: pct is None, description="accuracy under attack as printed, percent"
    )
    images_per_s: Amount | None = Field(
        default=None, exclude_if=lambda speed: speed is None, description="images a second as printed, on device"
    )
    device: Name | None = Field(
        default=None, exclude_if=lambda device: device is None, description="what images_per_s was timed on"
    )
