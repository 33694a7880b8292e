"""Units of what is counted."""

from __future__ import annotations

from typing import Literal

GIGA = 1e9
"""MACs in a GMAC."""

Rule = str
"""What counts as a MAC, by name: ``matmul+conv`` is ours; ``dynvit.cost`` has the rules."""

OUR_RULES = ("matmul+conv", "fvcore")
"""Those that dynvit brings; any other name in a paper's row is in the paper's own words."""

Solve = Literal["cost", "accuracy"]
"""What a model is set to a budget by: cost alone, or accuracy among points within it."""
