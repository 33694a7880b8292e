"""Where files are kept: the folder that is named, the home folder, or nowhere, and then nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_helpers import write_dataset

from dynvit.cache import cache_dir
from dynvit.data import open_split
from dynvit.data.fetching import fetch
from dynvit.data.scan import scan_shard
from dynvit.errors import InputError


@pytest.fixture(params=["no home", "a home of another", "a file for a home", "a folder that cannot be read"])
def no_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DYNVIT_CACHE", raising=False)
    place = tmp_path / "home"
    monkeypatch.setenv("HOME", str(place))
    if request.param == "no home":
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody"])
    elif request.param == "a file for a home":
        place.write_text("")
    else:
        # Root may do everything: the system's refusal is played.
        names = ["mkdir"] if request.param == "a home of another" else ["mkdir", "is_file"]
        for name in names:
            monkeypatch.setattr(Path, name, refusing(getattr(Path, name), place))


def refusing(method: Callable[..., Any], place: Path) -> Callable[..., Any]:
    def refused(path: Path, *given: Any, **named: Any) -> Any:
        if path.is_relative_to(place):
            raise PermissionError(13, "Permission denied")
        return method(path, *given, **named)

    return refused


@pytest.mark.usefixtures("no_cache")
def test_shards_are_read_where_nothing_can_be_kept(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cifar10", {"validation": 6})
    assert len(open_split("cifar10", "validation", data_dir=folder)) == 6
    assert len(scan_shard(folder / "demo-validation-00.tar")) == 3


@pytest.mark.usefixtures("no_cache")
def test_a_fetch_says_where_it_could_keep_what_it_fetches() -> None:
    with pytest.raises(InputError, match="set DYNVIT_CACHE to a folder that can be written"):
        fetch("http://127.0.0.1:9/x-train-00.tar")


def test_the_cache_is_where_it_is_told_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("DYNVIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "dynvit"
