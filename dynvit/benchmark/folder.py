"""The output folder: made by one configuration, continued by the same, never overwritten by another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynvit.benchmark.config import TRAINED
from dynvit.errors import InputError
from dynvit.files import LOCK, write_whole
from dynvit.leaderboard.store import RUNS
from dynvit.reading import read_json

CONFIG, TRIALS, SEARCH_BATCH, IMAGES = "bench.json", "trials", "search_batch", "images_manifest"
MODELS = "models"  # those that were given from Python are kept here before the bench begins


def fresh_folder(folder: Path) -> Path:
    """``folder`` if nothing lies there, else the first of ``folder-2``, ``folder-3``, … that is free."""
    number, candidate = 1, folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def check_folder(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds a run of the same configuration, or of a search with fewer trials; nothing is written.

    Raises: ``InputError`` where it holds something else, naming the first option that differs.
    """
    file = folder / CONFIG
    if not file.is_file():
        if folder.exists() and (not folder.is_dir() or any(_is_foreign(one) for one in folder.iterdir())):
            raise InputError(f"output {str(folder)!r} holds something else already: give another --output, or --fresh")
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise InputError(f"output {str(folder)!r} lies in {str(above)!r}, which is a file: give another --output")
        return False
    try:
        there = read_json(file)
    except InputError as error:
        raise InputError(f"{error}; give another --output, or --fresh") from error
    if not isinstance(there, dict):
        raise InputError(f"{file} holds a {type(there).__name__}, not what a bench writes: give another --output")
    _as_it_is_called_now(there, identity)
    if SEARCH_BATCH in there or SEARCH_BATCH in identity:  # left out where it is 1
        there.setdefault(SEARCH_BATCH, 1)
        identity = {SEARCH_BATCH: 1, **identity}
    # What an older file does not know was added since: records carry the hashes that matter.
    for name in sorted(there, key=lambda name: (name == IMAGES, name)):  # other options choose other images
        if name == IMAGES and not _has_records(folder):
            continue
        if there[name] != identity.get(name) and not (name == TRIALS and _continues(there, identity)):
            raise InputError(
                f"output {str(folder)!r} was made with {name} = {json.dumps(there.get(name))}, not "
                f"{json.dumps(identity.get(name))}: give another --output, or --fresh for a new folder beside it"
            )
    return True


def _is_foreign(found: Path) -> bool:
    """Whether no bench that has not begun yet has put it there; another process may be about to begin it."""
    return found.name not in (MODELS, TRAINED, LOCK) and not (
        found.name.startswith(".") and found.name.endswith(".tmp")
    )


def _continues(there: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether a search is asked to go on from the trials that it was begun with, or there is no search."""
    if identity.get("sampler") == "budgets":
        return True
    return isinstance(there[TRIALS], int) and there[TRIALS] < identity[TRIALS]


def _as_it_is_called_now(there: dict[str, Any], identity: Mapping[str, Any]) -> None:
    """An older bench drew its splits by its one seed, called the budgets a ladder, and listed every plug-in file."""
    plugins, methods = there.get("plugin"), identity.get("plugin")
    if "data_seed" not in there and isinstance(plugins, dict) and isinstance(methods, dict):
        there["plugin"] = {name: version for name, version in plugins.items() if name in methods}
    there.setdefault("data_seed", there.get("seed", 0))
    if there.get("sampler") == "ladder":
        there["sampler"] = "budgets"


def claim_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Make the folder this configuration's, or find that it is. Raises: as ``check_folder``."""
    there = check_folder(folder, identity)
    if not is_claimed(folder, identity):
        body = {**read_json(folder / CONFIG), IMAGES: identity[IMAGES]} if there else identity
        write_whole(folder / CONFIG, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())


def is_claimed(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder says whose it is. Before anything is measured its images may change: bad ones are mended."""
    file = folder / CONFIG
    if not file.is_file():
        return False
    return IMAGES not in identity or _has_records(folder) or read_json(file).get(IMAGES) == identity[IMAGES]


def _has_records(folder: Path) -> bool:
    """Whether anything is measured, here or by a part, whose folder lies within."""
    return any(file.stat().st_size for file in folder.rglob(RUNS))
