"""Whether what a method hands out is what the contract says: found where it comes in, and said by the method's name."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dynvit.errors import InputError
from dynvit.interface import DynamicModel, Prediction, Usage


def check_model(model: Any, method: str) -> None:
    """Raises: ``InputError`` where ``attach`` returned no model."""
    if not isinstance(model, DynamicModel):
        raise InputError(
            f"method {method!r} must return a DynamicModel from attach, got {type(model).__name__}: dynvit check tells "
            "what else the contract says"
        )


def check_prediction(prediction: Any, images: int, who: str) -> None:
    """Raises: ``InputError`` where ``predict`` returned no prediction for so many images."""
    kind = type(prediction).__name__
    if not isinstance(prediction, Prediction):
        raise InputError(f"{who} must return a Prediction from predict, got {kind}: dynvit check tells more")
    logits: Any = prediction.logits
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{who} must predict logits of shape [{images}, classes] for {images} images, got {got}")
    if not isinstance(prediction.usage, Usage):
        raise InputError(f"{who} must say its Usage in what it predicts, got {type(prediction.usage).__name__}")
