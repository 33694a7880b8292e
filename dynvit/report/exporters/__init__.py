"""A board as other sites read it: each target a function, by name.

A target is ``(board) → files``: the content of each by its path within the folder that is asked for. Register yours
with ``@register_exporter("name")``, or by an entry point in the group ``dynvit.exporters``; the first line of its
docstring says what it writes. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.plugin_faults import plugin_faults
from dynvit.registry import Registry
from dynvit.report.boards import Board
from dynvit.report.found import boards_in, warn_of_contradictions

Files = Mapping[str, bytes]
Exporter = Callable[[Board], Files]

exporters: Registry[Exporter] = Registry("export target", "dynvit.exporters")
register_exporter = exporters.register


def export(path: Path, target: str, folder: Path) -> Iterator[Path]:
    """Write every board of a path for a target. Yields what is written; each file whole or not at all.

    Raises: ``InputError`` for an unknown target, a path without board, and a target that would write elsewhere, or two
    files of one name.
    """
    exporter = exporters.get(target)
    boards = boards_in(path)
    warn_of_contradictions(path)
    made: dict[str, bytes] = {}
    for board in boards:
        with plugin_faults():
            files = exporter(board)
        for name, content in files.items() if isinstance(files, Mapping) else [(None, files)]:
            if not isinstance(name, str) or not isinstance(content, bytes):
                raise InputError(f"export target {target!r} must give bytes by name, got {type(content).__name__}")
            place = PurePosixPath(name)
            if place.is_absolute() or ".." in place.parts or not place.parts:
                raise InputError(f"export target {target!r} must name files within the folder, got {name!r}")
            if made.setdefault(name, content) != content:
                raise InputError(f"export target {target!r} names two files {name!r}: export the boards one by one")
    for name, content in made.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
        yield file
