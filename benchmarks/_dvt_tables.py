"""DVT's tables of what is reused: the options of each row, and what the paper prints (arXiv 2105.15075)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOURCE = "arXiv 2105.15075"


@dataclass(frozen=True)
class PaperRow:
    """A cascade. Units: ``top1_pct`` by exit; ``gflops`` by exit, or of the last alone."""

    options: Mapping[str, Any]
    top1_pct: tuple[float, ...]
    gflops: tuple[float, ...]


@dataclass(frozen=True)
class PaperTable:
    """Cascades of T2T-ViT-12 on ImageNet that differ in reuse alone, with exits of 7×7, 10×10 and, of three, 14×14."""

    number: int
    exits: int
    rows: Mapping[str, PaperRow]

    @property
    def source(self) -> str:
        """Where it stands."""
        return f"{SOURCE}, Table {self.number}: T2T-ViT-12 on ImageNet"


def _reuse(features: str, relations: str) -> dict[str, str]:
    return {"feature_reuse": features, "relation_reuse": relations}


def _features(variant: str, first: float, second: float, gflops: float) -> PaperRow:
    return PaperRow(_reuse(variant, "off"), (first, second), (gflops,))


def _relations(variant: str, first: float, second: float, gflops: float) -> PaperRow:
    return PaperRow(_reuse("off", variant), (first, second), (gflops,))


TABLES = {
    "reuse": PaperTable(
        6,
        3,
        {
            "none": PaperRow(_reuse("off", "off"), (70.33, 73.54, 76.74), (0.47, 1.37, 3.15)),
            "features": PaperRow(_reuse("full", "off"), (69.42, 75.31, 79.21), (0.47, 1.43, 3.31)),
            "relations": PaperRow(_reuse("off", "full"), (69.03, 75.34, 78.86), (0.47, 1.41, 3.34)),
            "both": PaperRow(_reuse("full", "full"), (69.04, 75.65, 80.00), (0.47, 1.46, 3.50)),
        },
    ),
    "features": PaperTable(
        7,
        2,
        {
            "none": _features("off", 70.08, 73.61, 1.37),
            "layerwise": _features("layerwise", 69.84, 74.31, 1.43),
            "class_token": _features("class_token", 69.79, 74.70, 1.43),
            "first_block": _features("first_block", 69.33, 74.73, 1.38),
            "no_norm": _features("no_norm", 69.63, 75.05, 1.42),
            "full": _features("full", 69.44, 75.23, 1.43),
        },
    ),
    "relations": PaperTable(
        8,
        2,
        {
            "none": _relations("off", 70.08, 73.61, 1.37),
            "layerwise": _relations("layerwise", 69.63, 73.89, 1.38),
            "final_layer": _relations("final_layer", 69.25, 74.31, 1.39),
            "linear": _relations("linear", 69.20, 73.84, 1.38),
            "naive": _relations("naive", 69.60, 73.34, 1.41),
            "full": _relations("full", 69.50, 74.91, 1.41),
        },
    ),
}
