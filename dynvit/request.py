"""What is asked for when models and a data set are opened: the same names in flags, suites and the Python API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from dynvit.settings import setting
from dynvit.units import Rule

DATA, MODEL, TRAINING = "Data", "Model", "Training"


class SessionRequest(BaseModel):
    """Models and a data set. What is None is adopted from the checkpoints that are given, else a default.

    ``method_checkpoint`` and ``options`` are by method.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = setting(
        None,
        help="A registered data set (dynvit ls datasets), or the path of a packed folder. "
        "Default: the checkpoint's, else digits",
        metavar="NAME|PATH",
        panel=DATA,
    )
    data_dir: str | None = setting(
        None, help="Folder or URL of the shards. Default: $DYNVIT_DATA/DATASET", metavar="DIR|URL", panel=DATA
    )
    split: str = setting("validation", help="Split that is reported. Default: validation", metavar="NAME", panel=DATA)
    limit: int | None = setting(
        None, help="Measure on N images, a fair draw by the data seed.", metavar="N", panel=DATA, ge=1
    )
    calibration: int | None = setting(
        None,
        help="Images held out of train; budgets are solved on up to 1,024 of them. Default: a tenth, at most 5,000",
        metavar="N",
        panel=DATA,
        ge=1,
    )
    data_seed: int | None = setting(
        None,
        help="Draws the splits and every choice of images. Default: the checkpoint's, else 0",
        metavar="N",
        panel=DATA,
        ge=0,
        le=2**63 - 1,
    )
    on_bad_sample: Literal["raise", "skip"] = setting(
        "raise", help="What to do with an unreadable image: raise, or skip and count. Default: raise", panel=DATA
    )
    backbone: str | None = setting(
        None, help="timm's name. Default: the checkpoint's, else by data set", metavar="NAME", panel=MODEL
    )
    weights: str | None = setting(
        None,
        help="Weights of the backbone: pretrained (timm's own), a file, hf://OWNER/REPO, or a folder of dynvit train.",
        metavar="PATH",
        panel=MODEL,
    )
    image_size: int | None = setting(
        None,
        help="Edge of the input. Default: the checkpoint's, else the backbone's",
        metavar="PIXELS",
        panel=MODEL,
        ge=1,
    )
    crop_pct: float | None = setting(
        None,
        help="Share of the image that the centre crop keeps. Default: the backbone's",
        metavar="F",
        panel=MODEL,
        gt=0,
        le=1,
    )
    interpolation: str | None = setting(
        None, help="Resampling filter of the resize. Default: the backbone's", metavar="NAME", panel=MODEL
    )
    method_checkpoint: Mapping[str, tuple[str, ...]] = setting(
        {},
        help="Trained model of a method: a folder of dynvit train, a published file or its name. Repeatable.",
        metavar="METHOD=PATH|NAME",
        panel=MODEL,
    )
    options: Mapping[str, tuple[str, ...]] = setting(
        {}, flag="--option", help="An option of a method. Repeatable.", metavar="METHOD.NAME=VALUE", panel=MODEL
    )
    rule: Rule = setting(
        "matmul+conv",
        help="Counting rule: matmul+conv, fvcore or a plug-in's. Default: matmul+conv",
        panel=MODEL,
        metavar="RULE",
    )
    device: str = setting(
        "auto", help="auto, cpu, or an accelerator: cuda, cuda:1. Default: auto", metavar="NAME", panel=MODEL
    )
    seed: int = setting(
        0, help="Seed of training and search. Default: 0", metavar="N", panel=TRAINING, ge=0, le=2**63 - 1
    )

    @field_validator("split")
    @classmethod
    def _reported(cls, split: str) -> str:
        if split.strip().casefold() in ("calibration", "calib"):
            raise ValueError(
                "must be another split than calibration: budgets are solved there, and nothing is reported where it "
                f"was chosen, got {split}"
            )
        return split

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Every checkpoint that is given, in order."""
        return tuple(path for paths in self.method_checkpoint.values() for path in paths)

    def all_have_checkpoints(self, methods: Iterable[str]) -> bool:
        """Whether each of the methods has one, so that no model has the backbone's weights."""
        return all(name in self.method_checkpoint for name in methods)

    def completed(self, **values: Any) -> SessionRequest:
        """The same with these values."""
        return self.model_copy(update=values)
