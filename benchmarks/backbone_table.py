"""Which method serves which backbone: the table of docs/backbones.md, from the code.

    python benchmarks/backbone_table.py                 # prints it
    python benchmarks/backbone_table.py --write         # and puts it into the page

Backbones are timm's by name, made small: fewer and narrower blocks of the same kind, with drawn weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from _measure import run
from torch import nn

import dynvit.backbones.build  # noqa: F401 - registers our own backbones with timm
from dynvit.errors import InputError
from dynvit.interface import methods

PAGE = Path(__file__).parent.parent / "docs" / "backbones.md"
METHODS = (
    *("dense", "random", "topk", "tome", "mctf", "atc", "evit", "diffrate", "ats", "resolution", "classrow", "depth"),
    *("dynamicvit", "mia", "dvt", "avit", "adavit", "thinkingvit"),
)
SMALL: Mapping[str, Any] = {"embed_dim": 48, "depth": 4, "num_heads": 3, "num_classes": 5}
BACKBONES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "deit_small_patch16_224": ("one class token", {"img_size": 64}),
    "deit_small_patch16_224, 2:1": ("a grid that is not square", {"img_size": (48, 96)}),
    "deit3_small_patch16_224": ("LayerScale, positions of patches only", {"img_size": 64}),
    "deit_small_distilled_patch16_224": ("a distillation token", {"img_size": 64}),
    "vit_base_patch16_clip_224": ("a norm before the blocks", {"img_size": 64}),
    "vit_small_patch14_dinov2": ("LayerScale", {"img_size": 56}),
    "vit_small_patch14_reg4_dinov2": ("LayerScale, 4 registers", {"img_size": 56}),
    "vit_giant_patch14_dinov2": ("LayerScale, gated MLPs", {"img_size": 56}),
    "vit_small_patch16_224, qk_norm": ("normed queries and keys", {"img_size": 64, "qk_norm": True}),
    "vit_base_patch16_siglip_224": ("no class token, attention pooling", {"img_size": 64}),
    "vit_base_patch16_siglip_gap_224": ("no class token, average pooling", {"img_size": 64}),
    "vit_medium_patch16_gap_256": ("no class token, average pooling", {"img_size": 64}),
    "vit_betwixt_patch16_reg4_gap_256": ("4 registers, no class token, average pooling", {"img_size": 64}),
    "vit_small_patch16_dinov3": ("rotary positions, 4 registers", {"img_size": 64}),
    "eva02_tiny_patch14_224": ("rotary positions", {"img_size": 56}),
}
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "levit_128s": {},
    "swin_tiny_patch4_window7_224": {"embed_dim": 24, "depths": (1, 1, 1, 1)},
    "convnext_tiny": {"dims": (8, 8, 8, 8), "depths": (1, 1, 1, 1)},
    "pit_ti_224": {"base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (1, 2, 4)},
    "pvt_v2_b0": {"depths": (1, 1, 1, 1), "embed_dims": (8, 16, 40, 64)},
    "coat_lite_tiny": {"serial_depths": (1, 1, 1, 1)},
    "mobilenetv1_100": {},
    "efficientnet_b1": {},
}


@cache
def backbone(row: str) -> nn.Module:
    """A small backbone of the row's kind, with weights that are large enough for tokens to differ."""
    torch.manual_seed(0)
    made = {"num_classes": 5, **OTHERS[row]} if row in OTHERS else {**SMALL, **BACKBONES[row][1]}
    model = timm.create_model(row.partition(",")[0], **made)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # the mean over all batches, of which there is one
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(std=parameter[0].numel() ** -0.5)
    for name, parameter in model.named_parameters():
        if "gamma" in name:
            parameter.data.fill_(0.5)  # as made, blocks do nothing
    if row in OTHERS:  # with statistics of their own, batch norms keep a signal as large as it is
        with torch.no_grad():
            model.train()(torch.randn(8, *model.pretrained_cfg["input_size"]))
    return model.eval()


def refusal(method: str, row: str) -> str:
    """What a method says of a backbone that it does not serve; nothing where it serves it."""
    kind = methods.get(method)
    try:
        kind().attach(backbone(row), kind.Options())
    except InputError as error:
        return str(error)
    return ""


def table() -> str:
    """A row for each backbone, and below it what the refusals say."""
    said: dict[str, list[str]] = {}
    rows = [f"| backbone | what it has | {' | '.join(METHODS)} |", "|---|---|" + ":-:|" * len(METHODS)]
    for row in (*BACKBONES, *OTHERS):
        cells = list[str]()
        for method in METHODS:
            message = refusal(method, row)
            cells.append("–" if message else "yes")
            if message:
                reason = message.partition(f"{backbone(row).pretrained_cfg['architecture']}': ")[2] or message
                said.setdefault(reason.partition("; ")[0], []).append(f"{row}: {method}")
        what = BACKBONES[row][0] if row in BACKBONES else f"another family, {type(backbone(row)).__name__}"
        rows.append(f"| {row} | {what} | {' | '.join(cells)} |")
    return "\n".join(
        [*rows, "", "Refused, and why:", "", *(f"- {_of(where)}: {reason}" for reason, where in said.items())]
    )


def _of(where: list[str]) -> str:
    rows: dict[str, list[str]] = {}
    for each in where:
        row, method = each.split(": ")
        rows.setdefault(row, []).append(method)
    return "; ".join(f"`{row}` by {', '.join(found)}" for row, found in rows.items())


def main(write: bool = False) -> None:
    """Print the table; --write puts it into docs/backbones.md."""
    made = table()
    print(made)
    if write:
        before = PAGE.read_text().partition("<!-- table -->")[0]
        PAGE.write_text(f"{before}<!-- table -->\n\n{made}\n")


if __name__ == "__main__":
    run(main)
