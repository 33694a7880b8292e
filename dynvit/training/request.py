"""What a training is asked to do, and how: declared once, for the command line, the bench and the Python API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dynvit.request import TRAINING
from dynvit.settings import Settings, setting

Precision = Literal["no", "fp16", "bf16"]
Division = Literal["fine-tuned"]


def batch_size_setting() -> Any:
    """The batch of a training, which a bench calls by another name than its own batches."""
    return setting(
        None,
        help="Images of a step over all processes, instead of the recipe's. See --scale-lr",
        metavar="N",
        panel=TRAINING,
        ge=1,
    )


class TrainingOptions(BaseModel):
    """What is asked of a training wherever one is asked for: by ``dynvit train``, by a bench, from Python.

    ``recipe`` is one of the method's by name (None: the one that is for this backbone and data set); ``epochs`` and
    ``lr`` replace the recipe's. ``division`` "fine-tuned" trains as all models of that division are trained
    (``dynvit.divisions``), dense and those that need no training among them. ``limit_train`` keeps the first N of a
    seeded order. ``mixed_precision`` None is what ``accelerate launch`` says, else no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str | None = setting(
        None,
        help="A recipe of the method (dynvit ls recipes). Default: the one that is for backbone and data set",
        metavar="NAME",
        panel=TRAINING,
    )
    division: Division | None = setting(
        None,
        help="fine-tuned: train as every model of that division is trained. Default: by the method's own recipe",
        metavar="NAME",
        panel=TRAINING,
    )
    epochs: int | None = setting(None, help="Epochs instead of the recipe's.", metavar="N", panel=TRAINING, ge=1)
    lr: float | None = setting(
        None, help="Learning rate instead of the recipe's.", metavar="F", panel=TRAINING, gt=0, allow_inf_nan=False
    )
    scale_lr: bool | None = setting(None, help="Scale the learning rate with the batch size, linearly.", panel=TRAINING)
    limit_train: int | None = setting(
        None,
        help="Train on N images, a fair draw by the data seed: for smoke tests.",
        metavar="N",
        panel=TRAINING,
        ge=1,
    )
    mixed_precision: Precision | None = setting(
        None,
        help="no, fp16 or bf16. Default: what accelerate launch says, else no",
        metavar="TYPE",
        panel=TRAINING,
    )


class TrainRequest(TrainingOptions):
    """What is trained: two folders made for equal requests hold the same model.

    ``batch_size`` replaces the recipe's. ``target`` is a fraction of the backbone's MACs. ``data_seed`` decides which
    ``calibration`` images are held out (None: a tenth, at most 5,000).
    """

    method: str
    backbone: str
    dataset: str
    options: dict[str, Any] = {}
    weights: str | None = None
    image_size: int | None = None
    batch_size: int | None = batch_size_setting()
    target: float | None = setting(
        None, help="Train for this fraction of the backbone's MACs.", metavar="F", panel=TRAINING, gt=0, le=1
    )
    seed: int = 0
    data_seed: int = 0
    calibration: int | None = None


class RunOptions(Settings):
    """How a training is run wherever one is, which its result does not depend on (but for the last bits of sums).

    Units: ``state_every`` minutes.
    """

    accumulate: int = setting(
        1, help="Pieces of a batch, for less memory. Default: 1", metavar="N", panel=TRAINING, ge=1, le=1024
    )
    state_every: float = setting(
        10.0,
        help="Minutes between two states to continue from, also within an epoch; 0 is after every step. Default: 10",
        metavar="MINUTES",
        panel=TRAINING,
        ge=0,
        allow_inf_nan=False,
    )
    track: str | None = setting(
        None, help="tensorboard, or another tracker of Accelerate's.", metavar="NAME", panel=TRAINING
    )


class RunSettings(RunOptions):
    """How it is trained, in full."""

    data_dir: str | None = None
    workers: int = setting(0, help="Processes that decode. Default: 0", metavar="N", panel=TRAINING, ge=0, le=1024)
    on_bad_sample: Literal["raise", "skip"] = "raise"
    command: str = ""
    quiet: bool = False
