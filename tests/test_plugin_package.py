"""A stranger's method: a package of its own, installed by pip, used with no change to the core."""

from __future__ import annotations

from pathlib import Path

import pytest
from package_helpers import dynvit, install

from dynvit.leaderboard.store import RunStore

PACKAGE = Path(__file__).parent / "plugin_package"
DISTRIBUTION, VERSION = "dynvit-pairs", "0.3.1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed the package."""
    return install(PACKAGE, tmp_path_factory.mktemp("site"))


def row(table: str, name: str) -> str | None:
    return next((line for line in table.splitlines() if line.split()[:1] == [name]), None)


@pytest.mark.slow
def test_it_is_listed_with_where_it_came_from(site: Path) -> None:
    listed = row(dynvit(site, "ls", "methods"), "pairs")
    assert listed is not None
    assert f"{DISTRIBUTION} {VERSION} (dynvit_pairs:Pairs)" in listed
    without = dynvit(site, "ls", "methods", DYNVIT_DISABLE_PLUGINS="1")
    assert (row(without, "pairs"), row(without, "dense") is not None) == (None, True)


@pytest.mark.slow
@pytest.mark.parametrize("option", [(), ("--option", "at=0.2")], ids=["default", "early"])
def test_it_keeps_every_law(site: Path, option: tuple[str, ...]) -> None:
    assert "pairs: all laws hold on vit_digits" in dynvit(site, "check", "pairs", *option)


@pytest.mark.slow
def test_it_is_benched_like_any_other(site: Path, tmp_path: Path) -> None:
    small = ("--epochs", "1", "--limit", "60", "--points", "2")
    dynvit(site, "bench", "--methods", "dense,pairs", *small, "-o", str(tmp_path / "out"))
    records = [record for record in RunStore(tmp_path / "out" / "runs.jsonl").read() if record.method.name == "pairs"]
    assert len(records) == 2
    for record in records:
        assert (record.method.distribution, record.method.version) == (DISTRIBUTION, VERSION)
        assert record.method.options == {"at": 0.5}
        assert record.point.target_gmacs is not None
        assert record.compute.gmacs_mean <= record.point.target_gmacs * (1 + 1e-9)
