"""Units of what is counted."""

from __future__ import annotations

from typing import Literal

GIGA = 1e9
"""MACs in a GMAC."""

Rule = Literal["matmul+conv", "fvcore"]
"""What counts as a MAC; ``dynvit.cost`` says what each rule counts."""
