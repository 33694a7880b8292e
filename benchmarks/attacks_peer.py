"""Success of our attacks against an independent implementation's, on DeiT-Tiny and ImageNet, over a grid of ε.

    python benchmarks/attacks_peer.py --weights FILE --data-dir DIR [--images 128] [--attacks fgsm,pgd]

The peer is the adversarial-robustness-toolbox, with the same settings: L∞, FGSM; PGD of --steps from the clean image,
each step ε/4, last image; Auto-PGD of --steps from a start of its own; Square of --queries, windows of its own. Only
what draws nothing can be held to half a point on so few images; the other two are held to three points, and Square
only from below: the peer keeps some images where they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from _measure import Row, report, run
from _models import opened
from torch import Tensor, nn

from dynvit.attacks import Attack, Threat, frozen_parameters
from dynvit.attacks.apgd import APGD
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square
from dynvit.data.pixels import PixelBatches, to_pixels
from dynvit.errors import InputError, unknown
from dynvit.interface import DynamicModel, OperatingPoint
from dynvit.session import OpenModel, Session

BACKBONE = "deit_tiny_patch16_224"
EXACT, NEAR = 0.5, 3.0  # points
GONE = 2.0  # percent that an undefended model may keep at the largest ε, by PGD
EPS_GRID = (0.25, 0.5, 1.0, 2.0, 4.0)  # of 255


@dataclass(frozen=True)
class Pair:
    """One attack of ours and its peer's: (images, labels, threat) → images."""

    ours: Attack
    peer: Callable[[Tensor, Tensor, float], Tensor]
    within: float
    from_below: bool = False


class Logits(nn.Module):
    """The dense model as the peer wants it: images in, logits out."""

    def __init__(self, model: DynamicModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, OperatingPoint()).logits


def pairs(logits: nn.Module, classes: int, batch_size: int, steps: int, queries: int) -> Mapping[str, Pair]:
    """Both implementations, set alike. Raises: ``InputError`` where the peer is not installed."""
    try:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise InputError('the peer is not installed: pip install "adversarial-robustness-toolbox>=1.20"') from error
    model = PyTorchClassifier(
        logits, nn.CrossEntropyLoss(), (3, 224, 224), classes, clip_values=(0.0, 1.0), device_type="cpu"
    )

    def peer(attack: Callable[..., Any], images: Tensor, labels: Tensor, eps: float, **settings: float) -> Tensor:
        relative = {key: value * eps for key, value in settings.items() if key == "eps_step"}
        made = attack(model, norm=np.inf, eps=eps, batch_size=batch_size, **{**settings, **relative})
        return torch.from_numpy(made.generate(images.numpy(), labels.numpy()))

    def using(attack: Callable[..., Any], **settings: float) -> Callable[[Tensor, Tensor, float], Tensor]:
        return partial(peer, attack, **settings)

    pgd = using(evasion.ProjectedGradientDescent, max_iter=steps, eps_step=0.25, num_random_init=0, verbose=False)
    apgd = using(evasion.AutoProjectedGradientDescent, max_iter=steps, eps_step=2.0, nb_random_init=1, verbose=False)
    square = using(evasion.SquareAttack, max_iter=queries, p_init=0.8, verbose=False)
    return {
        "fgsm": Pair(FGSM(), using(evasion.FastGradientMethod), EXACT),
        "pgd": Pair(PGD(steps=steps, step_size=0.25, random_start=False, keep="last"), pgd, EXACT),
        "apgd": Pair(APGD(steps=steps), apgd, NEAR),
        "square": Pair(Square(queries=queries), square, NEAR, from_below=True),
    }


def photos(session: Session, model: OpenModel, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """The first images of the session's split. Shape: (n, 3, 224, 224), (n,)."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    ids: list[str] = []
    for batch in PixelBatches(session.split(), model.preprocessing, batch_size=32, memory_mb=0):
        images.append(to_pixels(batch.images))
        labels.append(batch.labels)
        ids.extend(batch.ids)
        if len(ids) >= count:
            break
    return torch.cat(images)[:count], torch.cat(labels)[:count], ids[:count]


@torch.inference_mode()
def right(logits: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """Which are answered right. Shape: (n,), bool."""
    return torch.cat([logits(part).argmax(1) for part in images.split(batch_size)]) == labels


def main(
    weights: Annotated[str, typer.Option()],
    data_dir: str | None = None,
    split: str = "validation",
    images: int = 128,
    attacks: str = "fgsm,pgd",
    eps_grid: str = ",".join(f"{step:g}" for step in EPS_GRID),
    steps: int = 10,
    queries: int = 100,
    batch_size: int = 32,
) -> None:
    """Attack what is answered right; --eps-grid in 255ths. Data lie in --data-dir, else in $DYNVIT_DATA/imagenet."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    session, dense = opened(
        "dense",
        dataset="imagenet",
        data_dir=data_dir,
        split=split,
        backbone=BACKBONE,
        weights=weights,
        crop_pct=0.875,
        interpolation="bicubic",
    )
    model = dense.model
    logits = Logits(model).eval()
    pixels, labels, ids = photos(session, dense, images)
    both = pairs(logits, 1000, batch_size, steps, queries)
    clean = right(logits, pixels, labels, batch_size)
    pixels, labels, ids = pixels[clean], labels[clean], [i for i, yes in zip(ids, clean.tolist(), strict=True) if yes]
    rows = [Row("right on clean images", f"{int(clean.sum())} of {len(clean)}")]

    def left(found: Tensor) -> float:
        return 100 * int(right(logits, found, labels, batch_size).sum()) / len(clean)

    def attacked(attack: Attack, threat: Threat) -> Tensor:
        with frozen_parameters(model):
            parts = [
                attack(lambda images, rows: model(images, OperatingPoint()), *part, threat)
                for part in zip(
                    pixels.split(batch_size), labels.split(batch_size), _chunks(ids, batch_size), strict=True
                )
            ]
        return torch.cat(parts)

    for name in attacks.split(","):
        if name not in both:
            raise unknown("attack", name, both)
        pair = both[name]
        for step in map(float, eps_grid.split(",")):
            start = time.perf_counter()
            ours = left(attacked(pair.ours, Threat("linf", step / 255)))
            between = time.perf_counter()
            peers = left(pair.peer(pixels, labels, step / 255))
            took = f"{between - start:.0f} s, {time.perf_counter() - between:.0f} s"
            near = ours <= peers + pair.within and (pair.from_below or ours >= peers - pair.within)
            wanted = f"{'≤ ' if pair.from_below else ''}{peers:.2f} {'+' if pair.from_below else '±'} {pair.within}"
            row = Row(f"{name} at {step:g}/255: accuracy, %", f"{ours:.2f}", wanted, near)
            print(f"{row.what} ours {row.measured}, peer {peers:.2f}; {took}", flush=True)
            rows.append(row)
            if name in ("pgd", "apgd") and step == max(EPS_GRID):
                rows.append(Row(f"{name} at {step:g}/255: undefended", f"{ours:.2f}", f"≤ {GONE}", ours <= GONE))
    report(f"accuracy of {BACKBONE} under attack, ours and the peer's, {len(clean)} images of {split}", rows)


def _chunks(ids: list[str], size: int) -> list[list[str]]:
    return [ids[at : at + size] for at in range(0, len(ids), size)]


if __name__ == "__main__":
    run(main)
