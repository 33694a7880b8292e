"""A folder of pages: an index, a page for each board, a page for each entry, and what they show to be taken along."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from dynvit.errors import InputError
from dynvit.files import named
from dynvit.site.extras import check_extras
from dynvit.site.source import Source
from dynvit.version import __version__

MARKER = "site.json"
"""What a folder that was built holds: which boards, by which version."""


@dataclass(frozen=True)
class Built:
    """What was written."""

    folder: Path
    boards: int
    entries: int
    files: int
    bytes: int


def build_site(sources: Sequence[Source], folder: Path) -> Built:
    """Write the pages of the boards, in place of those that an earlier build left.

    They are made beside the folder and put in its place when all are there. The same boards give the same bytes.

    Raises: ``InputError`` where the folder holds something else, or a library is missing.
    """
    check_extras()
    folder = folder.resolve()
    _check_ours(folder)
    with named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:64]}."))
        try:
            _write(sources, made)
            made.chmod(0o755)
            _replace(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    written = [file for file in folder.rglob("*") if file.is_file()]
    entries = sum(len(source.board.entries) for source in sources)
    return Built(folder, len(sources), entries, len(written), sum(file.stat().st_size for file in written))


def _write(sources: Sequence[Source], folder: Path) -> None:
    from dynvit.site.board_pages import write_board
    from dynvit.site.index_page import index_page
    from dynvit.site.library import vega_script

    assets = folder / "assets"
    assets.mkdir()
    for asset in files("dynvit.site").joinpath("assets").iterdir():
        (assets / asset.name).write_bytes(asset.read_bytes())
    (assets / "vega.js").write_bytes(vega_script())
    glances = [write_board(source, folder / source.name) for source in sources]
    (folder / "index.html").write_bytes(index_page(glances))
    said = {"dynvit": __version__, "boards": {one.name: f"{one.name}/board.json" for one in glances}}
    (folder / MARKER).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def _check_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output must be a folder, {str(folder)!r} is a file: give another")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise InputError(f"{str(folder)!r} holds files that are no pages of ours: give a new folder with --output")
    if folder in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"{str(folder)!r} is replaced as a whole, and you stand in it: run from elsewhere")


def _replace(made: Path, folder: Path) -> None:
    """Put a whole folder in the place of another; a kill between leaves the older one beside it."""
    if not folder.exists():
        made.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:64]}.")) / "old"
    folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old.parent)
