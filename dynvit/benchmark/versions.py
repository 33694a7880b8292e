"""One version of everything that measures, in all parts of a bench: a machine with another is refused by name."""

from __future__ import annotations

import json

from dynvit.benchmark.identity import PATIENCE_S
from dynvit.benchmark.run import Bench
from dynvit.errors import InputError
from dynvit.files import locked, write_whole
from dynvit.interface import methods
from dynvit.measurements.base import measurements
from dynvit.reading import read_json
from dynvit.registry import Origin
from dynvit.version import __version__

FILE, FOLDER = "versions.json", "versions"


def versions_of(bench: Bench) -> dict[str, str]:
    """dynvit, and the package of every method and measurement of a bench, each with its version."""
    found = {"dynvit": __version__}
    for name in bench.config.methods:
        found[f"method {name}"] = _said(methods.origins(name)[0])
    for one in bench.measurements:
        found[f"measurement {one.name}"] = _said(measurements.origins(one.name)[0])
    return found


def same_versions(bench: Bench) -> None:
    """Check that this process has the versions that the bench's parts began with; the first says which these are.

    Raises: ``InputError`` naming what differs.
    """
    file, here = bench.folder / FOLDER / FILE, versions_of(bench)
    with locked(bench.folder / FOLDER, PATIENCE_S):
        there = read_json(file) if file.is_file() else {}
        known = {name: str(version) for name, version in there.items()} if isinstance(there, dict) else {}
        for name, version in here.items():
            if known.get(name, version) != version:
                raise InputError(
                    f"{bench.folder} was begun with {name} {known[name]}, and here is {version}: parts of one bench "
                    "need one version; install it here, or give another --output"
                )
        if not here.items() <= known.items():
            write_whole(file, (json.dumps(known | here, indent=1, sort_keys=True) + "\n").encode())


def _said(origin: Origin) -> str:
    return f"{origin.distribution.rpartition('/')[2]} {origin.version}"
