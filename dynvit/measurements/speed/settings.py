"""How speed is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynvit.settings import Settings, setting

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class SpeedSettings(Settings):
    """``rounds`` is how many must be valid."""

    batches: tuple[Annotated[int, Field(ge=1)], ...] = setting(
        BATCHES, help="Batch sizes that are timed. Default: 1,2,4,…,256", metavar="N,N", min_length=1
    )
    rounds: int = setting(7, help="Valid rounds of each batch size. Default: 7", metavar="N", ge=1)
    points: int = setting(3, help="Points of each model, of its front first. Default: 3", metavar="N", ge=1)
    dtype: Literal["float32", "bf16"] = setting(
        "float32", help="Number type: float32 or bf16. Default: float32", metavar="TYPE"
    )
    compile: bool = setting(False, flag="--compile", help="Time both through torch.compile.")
