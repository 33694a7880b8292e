"""Lists say what there is and where it came from: plug-ins and packed folders too, a row a line, 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_helpers import pack_pets, write_dataset
from typer.testing import CliRunner

from dynvit.cli import ls
from dynvit.data import datasets
from dynvit.errors import InputError
from dynvit.measurements.base import measurements
from dynvit.registry import load_plugin


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed folder in $DYNVIT_DATA."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    folder = pack_pets(tmp_path)
    monkeypatch.setenv("DYNVIT_DATA", str(folder.parent))
    return folder


PLUGIN = """
from dynvit.data.datasets import DatasetSpec, datasets
from dynvit.measurements.base import Measurement, register_measurement

datasets.register("stars")(DatasetSpec("stars", 7, 48, "stars by class"))

@register_measurement("warmth")
class Warmth(Measurement):
    name = "warmth"
    summary = "how warm it gets"
"""


@pytest.fixture
def plugin(pets: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for registry in (datasets, measurements):
        monkeypatch.setattr(registry, "_registered", {n: list(e) for n, e in registry._registered.items()})
    Path("stars.py").write_text(PLUGIN)
    return "stars.py"


def listed(*words: str, **environment: str) -> str:
    done = CliRunner().invoke(ls.app, list(words), env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def row(table: str, name: str) -> str:
    return next(line for line in table.splitlines() if line.split()[:1] == [name])


def test_packed_folders_are_listed_as_folders(pets: Path, plugin: str) -> None:
    write_dataset(pets.parent / "cifar10", {"train": 4})  # registered: listed once
    (pets.parent / "notes").mkdir()
    shown = listed("datasets", "--plugin", plugin)
    assert "2" in row(shown, "pets").split()
    assert f"folder {pets}" in row(shown, "pets")
    assert "train 20, validation 10" in row(shown, "pets")
    assert "stars.py sha256-" in row(shown, "stars")
    assert sum(line.split()[:1] == ["cifar10"] for line in shown.splitlines()) == 1
    assert "notes" not in shown


def test_a_broken_folder_stops_no_list(pets: Path) -> None:
    write_dataset(pets.parent / "nameless", {"train": 4})
    with pytest.warns(UserWarning, match=r"nameless holds shards.*add classnames\.txt"):
        assert row(listed("datasets"), "pets")


def test_measurements_are_listed_with_their_flags(plugin: str) -> None:
    shown = listed("measurements", "--plugin", plugin)
    assert {"--corruptions", "--corrupted-dir"} <= set(row(shown, "corruption").split())
    assert ("--robustness" in row(shown, "robustness"), "--speed" in row(shown, "speed")) == (True, True)
    assert ("--warmth" in row(shown, "warmth"), "how warm it gets" in row(shown, "warmth")) == (True, True)


@pytest.mark.parametrize("what", ["methods", "backbones", "datasets", "attacks", "measurements", "checkpoints"])
def test_every_list_takes_a_plugin_and_fits_80_columns(plugin: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = listed(what, "--plugin", plugin)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    narrow = listed(what, "--plugin", plugin, COLUMNS="80", TERM="dumb", NO_COLOR="1")
    table = [line for line in narrow.splitlines() if "http" not in line]
    assert max(map(len, table)) <= 80
    names = [line.split()[0] for line in whole.splitlines()[3:] if line.split()]
    assert all(row(narrow, name) for name in names)


def test_a_data_set_of_a_plugin_takes_no_name_of_ours_in_silence(plugin: str) -> None:
    Path(plugin).write_text(PLUGIN.replace("stars", "cifar10").replace("48", "32"))
    load_plugin(plugin)
    with pytest.raises(InputError, match=r"'cifar10' is registered twice, by dynvit .* and .*stars\.py sha256-"):
        datasets.get("cifar10")


def test_hidden_files_beside_the_data_are_nobodys_set(pets: Path) -> None:
    pets.rename(pets.with_name(".pets.partial"))
    assert "partial" not in listed("datasets")
