"""What a training is asked to do, and how: declared once, for the command line, the bench and the Python API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dynvit.request import TRAINING
from dynvit.settings import Settings, setting

Precision = Literal["no", "fp16", "bf16"]


class TrainRequest(BaseModel):
    """What is trained: two folders made for equal requests hold the same model.

    ``recipe`` is one of the method's by name (None: the one named as the dataset, else its first); ``epochs``,
    ``batch_size`` and ``lr`` replace the recipe's. ``target`` is a fraction of the backbone's MACs. ``limit_train``
    keeps the first N of a seeded order. ``data_seed`` decides which ``calibration`` images are held out (None: a
    tenth, at most 5,000). ``mixed_precision`` None is what ``accelerate launch`` says, else no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    backbone: str
    dataset: str
    options: dict[str, Any] = {}
    weights: str | None = None
    image_size: int | None = None
    recipe: str | None = setting(
        None,
        help="One of the method's recipes. Default: the one named as the data set, else the first",
        metavar="NAME",
        panel=TRAINING,
    )
    epochs: int | None = setting(None, help="Epochs instead of the recipe's.", metavar="N", panel=TRAINING, ge=1)
    batch_size: int | None = setting(
        None,
        help="Images of a step over all processes, instead of the recipe's; same learning rate.",
        metavar="N",
        panel=TRAINING,
        ge=1,
    )
    lr: float | None = setting(
        None, help="Learning rate instead of the recipe's.", metavar="F", panel=TRAINING, gt=0, allow_inf_nan=False
    )
    target: float | None = setting(
        None, help="Train for this fraction of the backbone's MACs.", metavar="F", panel=TRAINING, gt=0, le=1
    )
    limit_train: int | None = setting(
        None,
        help="Train on N images, a fair draw by the data seed: for smoke tests.",
        metavar="N",
        panel=TRAINING,
        ge=1,
    )
    seed: int = 0
    data_seed: int = 0
    calibration: int | None = None
    mixed_precision: Precision | None = setting(
        None,
        help="no, fp16 or bf16. Default: what accelerate launch says, else no",
        metavar="TYPE",
        panel=TRAINING,
    )


class RunSettings(Settings):
    """How it is trained, which the result does not depend on (but for the last bits of sums).

    Units: ``state_every`` seconds at least between two states on disk.
    """

    data_dir: str | None = None
    workers: int = setting(0, help="Processes that decode. Default: 0", metavar="N", panel=TRAINING, ge=0, le=1024)
    on_bad_sample: Literal["raise", "skip"] = "raise"
    accumulate: int = setting(
        1, help="Pieces of a batch, for less memory. Default: 1", metavar="N", panel=TRAINING, ge=1, le=1024
    )
    track: str | None = setting(
        None, help="tensorboard, or another tracker of Accelerate's.", metavar="NAME", panel=TRAINING
    )
    command: str = ""
    state_every: float = 10.0
    quiet: bool = False
