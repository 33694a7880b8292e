"""A-ViT: adaptive tokens for efficient vision transformer (Yin et al., CVPR 2022).

A channel of each token says when it halts; what has halted is not computed. arXiv 2112.07658.
"""

from __future__ import annotations

from .method import AViT, AViTModel, AViTPrediction
from .options import AViTOptions

__all__ = ["AViT", "AViTModel", "AViTOptions", "AViTPrediction"]
