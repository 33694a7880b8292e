"""A stranger's package: installed by pip where nothing else sees it, and dynvit run beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def install(package: Path, folder: Path) -> Path:
    """A folder that pip installed the package into. It is built from a copy: building leaves files behind."""
    source = Path(shutil.copytree(package, folder / "source"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", str(folder / "site"), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return folder / "site"


def python(site: Path | None, *arguments: str, **environment: str) -> str:
    """What python prints where the package is installed; without ``site`` where it is not."""
    paths = os.pathsep.join(filter(None, [site and str(site), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": paths} | environment
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dynvit(site: Path | None, *arguments: str, **environment: str) -> str:
    """What the command line prints there."""
    return python(site, "-m", "dynvit", *arguments, **environment)
