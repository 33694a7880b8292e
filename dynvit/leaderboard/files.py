"""Files that are whole or not there, and faults said in one line."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` so that a reader, or a kill, meets the old file or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong: which field, why, and how many more there are."""
    faults = error.errors(include_url=False)
    where = ".".join(str(step) for step in faults[0]["loc"])
    what = faults[0]["msg"].removeprefix("Value error, ")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return (f"{where}: {what}" if where else what) + more
