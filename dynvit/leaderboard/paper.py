"""Numbers that a paper prints, to stand beside ours: never in a front, never mixed with measurements."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dynvit.leaderboard.record import Amount, Frozen, Name, Percent


class PaperRow(Frozen):
    """One row of a published table. It has what papers give; nobody can measure it again from this."""

    provenance: Literal["paper"] = Field(default="paper", description="a paper's claim, not measured here")
    method: Name = Field(description="registered name of the method, or the paper's name for it")
    label: Name = Field(description="the row as the paper names it")
    backbone: Name = Field(description="timm's name of the backbone")
    dataset: Name = Field(description="registered name of the dataset")
    split: Name = Field(description="split")
    gmacs_mean: Amount = Field(description="GMACs an image as printed (papers write GFLOPs)")
    rule: Name = Field(description="how the paper counted: matmul+conv, fvcore, formula, …")
    top1_pct: Percent = Field(description="top-1 accuracy as printed, percent")
    top5_pct: Percent | None = Field(description="top-5 accuracy as printed, percent; null: not given")
    source: Name = Field(description="paper or repository, with table or file")
