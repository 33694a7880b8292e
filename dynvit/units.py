"""Units of what is counted."""

from __future__ import annotations

GIGA = 1e9
"""MACs in a GMAC."""

Rule = str
"""What counts as a MAC, by name: ``matmul+conv`` is ours; ``dynvit.cost`` has the rules."""
