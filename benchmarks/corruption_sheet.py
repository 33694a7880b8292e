"""Draw every corruption at every severity on images of one dataset, to see whether each looks like its name.

The sheet in the documentation: ``python benchmarks/corruption_sheet.py docs/images/corruptions.png``, on CIFAR-10.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from _measure import run
from PIL import Image

from dynvit.data import ImageSource, open_split
from dynvit.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dynvit.data.transforms import Preprocessing, evaluation_transform


def strip(image: np.ndarray, name: str, sample_id: str) -> np.ndarray:
    """An image clean and at each severity, side by side."""
    return np.concatenate([image, *(corrupt(image, name, severity, sample_id) for severity in SEVERITIES)], axis=1)


def pixels(source: ImageSource, index: int) -> np.ndarray:
    """An image at the size at which it is corrupted."""
    image = source.read(index).image
    if source.spec.small:
        return np.asarray(image)
    cut = evaluation_transform(Preprocessing(source.spec.image_size, 0.9, "bicubic", (0, 0, 0), (1, 1, 1)))
    return np.ascontiguousarray(cut(image).numpy().transpose(1, 2, 0))


def main(
    picture: Annotated[Path, typer.Argument(help="The PNG to write.")],
    dataset: str = "cifar10",
    data_dir: str | None = None,
    seed: Annotated[int, typer.Option(help="Which images.")] = 0,
) -> None:
    """Draw the sheet."""
    import matplotlib.pyplot as plt

    source = open_split(dataset, "validation", data_dir=data_dir, limit=15, seed=seed, quiet=True)
    figure, axes = plt.subplots(5, 3, figsize=(12, 4.4), layout="constrained")
    for index, (name, panel) in enumerate(zip(CORRUPTIONS, axes.T.flat, strict=True)):
        panel.imshow(strip(pixels(source, index), name, source.manifest.samples[index].key))
        panel.set_title(name.replace("_", " ") + ": clean, severity 1 to 5", fontsize=8, loc="left", pad=2)
        panel.axis("off")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90)
    # 256 colours are enough to look at, and a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(256).save(picture, optimize=True)


if __name__ == "__main__":
    run(main)
