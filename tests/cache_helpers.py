"""A cache of a test's own, and what may be kept in it."""

from __future__ import annotations

from pathlib import Path

import pytest


def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where shards will be kept."""
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


def allow(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Shards may take so many bytes."""
    monkeypatch.setenv("DYNVIT_CACHE_GB", repr(size / 10**9))
