"""What kind of decision a model takes, found by asking it."""

from __future__ import annotations

import torch

from dynvit.data import ImageSource
from dynvit.data.pixels import to_pixels
from dynvit.data.transforms import evaluation_transform
from dynvit.explain.images import explain_images
from dynvit.explain.trained import Trained
from dynvit.search import draw


def decides(trained: Trained, source: ImageSource) -> tuple[bool, bool]:
    """Whether the model decides on exits and on blocks: one image tells, at any point."""
    opened, image = trained.opened, source.read(0).image
    [point] = draw(opened.knobs, seed=0, count=1)
    pixels = to_pixels(evaluation_transform(opened.preprocessing)(image)[None].to(trained.device))
    with torch.inference_mode():
        exits = opened.model.predict(pixels, point).usage.exit is not None
    return exits, bool(explain_images(trained, [image], point)[0].blocks)
