"""DynamicViT: efficient vision transformers with dynamic token sparsification (Rao et al., NeurIPS 2021).

Prediction modules between the blocks score the patch tokens; only the best are kept. arXiv 2106.02034,
extended in arXiv 2207.01580.
"""

from __future__ import annotations

from .method import DynamicViT
from .model import DynamicViTModel, DynamicViTPrediction
from .options import DynamicViTOptions

__all__ = ["DynamicViT", "DynamicViTModel", "DynamicViTOptions", "DynamicViTPrediction"]
