"""AdaViT: adaptive vision transformers for efficient image recognition (Meng et al., CVPR 2022).

A linear gate on each patch, and on the class token one for each head and each half of a block. arXiv 2111.15668.
"""

from __future__ import annotations

from .masks import Gates, Masks
from .method import AdaViT
from .model import AdaViTModel, AdaViTPrediction
from .options import AdaViTOptions

__all__ = ["AdaViT", "AdaViTModel", "AdaViTOptions", "AdaViTPrediction", "Gates", "Masks"]
