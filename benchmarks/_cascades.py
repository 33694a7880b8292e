"""Trained cascades of DVT, and what each of their exits says of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from _models import trained

from dynvit.data import ImageSource
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError
from dynvit.exits.thresholds import Confidences
from dynvit.interface import Batch
from dynvit.session import OpenModel, Session
from dynvit_methods.dvt.cascade import Cascade


def cascade(checkpoint: Path, **request: Any) -> tuple[Session, OpenModel, Cascade]:
    """A trained cascade, with the session that it is open in. ``request`` is what a ``SessionRequest`` takes besides.

    Raises: ``InputError`` for a checkpoint of another method, and for what does not fit.
    """
    session, opened = trained(checkpoint, **request)
    model = opened.model
    if not isinstance(model, Cascade):
        raise InputError(f"checkpoint {checkpoint} is of method {opened.name!r}: give one of dvt")
    return session, opened, model


def confidences(model: Cascade, opened: OpenModel, source: ImageSource, device: str = "cpu") -> Confidences:
    """Every exit's score of every image, by the model's criterion, and whether it is right."""
    model.to(device)
    batches = PixelBatches(source, opened.preprocessing)
    with torch.inference_mode():
        return model.confidences(
            Batch(to_pixels(b.images.to(device)), b.labels.to(device), torch.empty(0)) for b in batches
        )
