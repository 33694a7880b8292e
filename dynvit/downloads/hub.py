"""Files of the Hugging Face Hub, by its own client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dynvit.downloads.checks import Check
from dynvit.errors import InputError
from dynvit.files import sha256_of

_SHA256 = re.compile("[0-9a-f]{64}")


def from_hub(repo: str, file: str, *, check: Check, advice: str, **where: str | None) -> Path:
    """A file of the Hugging Face Hub, in the client's own cache; one there that fails the check is fetched again.

    Args:
        repo: ``OWNER/NAME``.
        file: its path in the repository.
        check: looks at the whole file.
        advice: ends the error: what to do.
        where: ``repo_type`` and ``revision``, as the client calls them.

    Raises: ``InputError`` where it cannot be fetched, or is not what was asked for.
    """
    import huggingface_hub as hub

    name = f"{file} of {repo}"
    if hub.constants.HF_HUB_CACHE.startswith("~"):
        raise InputError(f"cannot fetch {name}: this user has no home folder to keep it in: set HF_HOME to a folder")
    reason = ""
    # A cached file is taken as it is where it passes; what came just now is held to the hash that it is stored under.
    for again in ({}, {"force_download": True}):
        options: dict[str, Any] = {**where, **again}
        try:
            known = None if again else hub.try_to_load_from_cache(repo, file, **options)
            path = Path(hub.hf_hub_download(repo, file, **options))
        except Exception as error:  # the client's errors and those of the network libraries below it
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"cannot fetch {name} from {hub.constants.ENDPOINT} ({said}): {advice}") from error
        try:
            check(path)
            if not isinstance(known, str):
                _as_stored(path)
            return path
        except (ValueError, InputError) as error:
            reason = str(error)
    raise InputError(f"cannot fetch {name}: what {hub.constants.ENDPOINT} answers {reason}: {advice}")


def _as_stored(path: Path) -> None:
    """Large files are stored under their SHA-256."""
    promised = path.resolve().name
    if _SHA256.fullmatch(promised) and sha256_of(path) != promised:
        raise ValueError("has another SHA-256 than it is listed with")


def stored_sha256(path: Path) -> str:
    """The SHA-256 of a file in the client's cache: what it is stored under, which was held to it as it came."""
    return path.name if _SHA256.fullmatch(path.name) else sha256_of(path)
