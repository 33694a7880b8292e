"""MIA-Former: blocks, heads and tokens decided for each image (Yu et al., AAAI 2022).

A controller before each block decides whether the block runs, and on which heads and tokens. arXiv 2112.11542; its
authors published no code.
"""

from __future__ import annotations

from .gates import GateLogits, Masks, Thresholds
from .method import MIAFormer
from .model import MIAModel, MIAPrediction
from .options import MIAOptions

__all__ = ["GateLogits", "MIAFormer", "MIAModel", "MIAOptions", "MIAPrediction", "Masks", "Thresholds"]
