"""Write ``docs/claims.md`` of a checkout: ``python -m dynvit.report.claims [FOLDER]``; ``--check`` compares only."""

from __future__ import annotations

import sys
from pathlib import Path

from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.plain import say
from dynvit.report.claims import Evidence, page, read_claims


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0, 1 where ``--check`` finds another page, 2 for wrong input."""
    check = "--check" in arguments
    given = [argument for argument in arguments if argument != "--check"]
    if len(given) > 1 or any(argument.startswith("-") for argument in given):
        say("usage: python -m dynvit.report.claims [FOLDER] [--check]", err=True)
        return 2
    root = Path(given[0] if given else ".")
    try:
        text = page(read_claims(root / "leaderboards"), Evidence(root))
    except InputError as error:
        say(f"error: {error}", err=True)
        return 2
    file = root / "docs" / "claims.md"
    if check:
        return 0 if file.is_file() and file.read_text(encoding="utf-8") == text else 1
    write_whole(file, text.encode())
    say(str(file))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
