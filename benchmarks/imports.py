"""How many of our own modules each file imports: the ten that import most. A test holds them to fifteen.

python benchmarks/imports.py
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def internal_imports(file: Path) -> int:
    """Different modules of dynvit and its methods, at whatever depth they are imported."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("dynvit")):
            found.add((node.level, node.module))
    return len(found)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    files = [*(ROOT / "dynvit").rglob("*.py"), *(ROOT / "methods").rglob("*.py")]
    for file in sorted(files, key=internal_imports, reverse=True)[:10]:
        print(f"{internal_imports(file):3d}  {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
