"""MACs of an image: what torch executes and what the method claims, against the numbers known, to a thousandth of a G.

python benchmarks/macs.py [--only deit_tiny]
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from _measure import Row, report, run
from _models import drawn, point_at

from dynvit import cost
from dynvit.interface import Prediction
from dynvit.units import GIGA

# GMACs by keep ratio, by matmul and convolution alone: patch embedding, blocks, predictors, head.
WANTED: dict[tuple[str, str], dict[float | None, str]] = {
    ("deit_tiny_patch16_224", "dense"): {None: "1.254"},
    ("deit_tiny_patch16_224", "dynamicvit"): {0.9: "1.091", 0.7: "0.801", 0.5: "0.602"},
    ("deit_tiny_patch16_224", "topk"): {
        0.9: "1.075",
        0.8: "0.928",
        0.7: "0.808",
        0.6: "0.704",
        0.5: "0.621",
        0.3: "0.493",
        0.25: "0.471",
    },
    ("deit_small_patch16_224", "dense"): {None: "4.599"},
    ("deit_small_patch16_224", "dynamicvit"): {0.9: "4.041", 0.8: "3.463", 0.7: "2.981", 0.6: "2.565", 0.5: "2.229"},
    ("deit_small_patch16_224", "topk"): {
        0.9: "3.960",
        0.8: "3.427",
        0.7: "2.980",
        0.6: "2.592",
        0.5: "2.278",
        0.3: "1.785",
        0.25: "1.699",
    },
    ("deit_base_patch16_224", "dense"): {None: "17.564"},
    ("deit_base_patch16_224", "dynamicvit"): {0.7: "11.476", 0.5: "8.561"},
    ("deit_base_patch16_224", "topk"): {0.7: "11.421", 0.5: "8.697"},
}


def rows(only: str = "") -> Iterator[Row]:
    """One row a number, of the backbones whose names begin with ``only``."""
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for (backbone, method), wanted in WANTED.items():
        if not backbone.startswith(only):
            continue
        model = drawn(method, backbone)
        for ratio, gmacs in wanted.items():
            point = point_at(model, ratio)
            found: list[Prediction] = []
            executed = cost.count_executed(lambda: found.append(model.predict(image, point)))  # noqa: B023
            claimed = int(cost.macs(found[0].usage))
            counted = f"{executed / GIGA:.3f}"
            told = counted if claimed == executed else f"{counted}, claimed {claimed / GIGA:.6f}"
            label = f"{backbone} {method}" + ("" if ratio is None else f" {ratio:g}")
            yield Row(label, told, gmacs, counted == gmacs and claimed == executed)


def main(only: str = "") -> None:
    """Count every row, or those of the backbones whose names begin with --only."""
    report("GMACs of one image, executed and claimed", list(rows(only)))


if __name__ == "__main__":
    run(main)
