"""Published checkpoints: fetched from their authors' address when asked for, kept, and known by their hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynvit.backbones.weights import torch_file
from dynvit.cache import place_for
from dynvit.downloads import download
from dynvit.errors import InputError, unknown
from dynvit.files import atomic, sha256_of
from dynvit.interface import Method, PublishedCheckpoint


def find(method: Method[Any], name: str) -> PublishedCheckpoint:
    """The method's published checkpoint of that name.

    Raises: ``InputError`` with the nearest names, for one that is no file either.
    """
    for published in method.published:
        if published.name == name:
            return published
    what = "folder, file or published checkpoint"
    if not method.published:
        raise InputError(f"no {what} is called {name!r}, and the method has none published: give a folder or a file")
    raise unknown(what, name, [published.name for published in method.published])


def fetch(published: PublishedCheckpoint, cache: Path | None = None) -> Path:
    """The checkpoint as a local file, fetched now where it is not in ``cache`` (default: dynvit's own) as it came.

    Its SHA-256 is recorded beside it, in ``sha256sum``'s format. A fetch that is killed leaves no half file.

    Raises: ``InputError`` where the address does not answer, breaks off, or answers with a page for people.
    """
    target = place_for("checkpoints", f"{published.name}.pth") if cache is None else cache / f"{published.name}.pth"
    record = target.with_name(f"{target.name}.sha256")
    if target.is_file() and record.is_file() and record.read_text().split()[:1] == [sha256_of(target)]:
        return target
    if not published.url.startswith(("https://", "http://")):
        raise InputError(f"cannot fetch {published.name} from {published.url}: only http and https are fetched")
    advice = "check the network, or fetch it by hand and give its path"
    with atomic(target) as temporary:
        digest = download(published.url, temporary, name=published.name, check=torch_file, advice=advice)
        # The record comes first: a file under its final name always has one.
        with atomic(record) as line:
            line.write_text(f"{digest}  {target.name}\n")
    return target
