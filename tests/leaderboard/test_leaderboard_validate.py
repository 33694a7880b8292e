"""``dynvit validate``: whoever edits one number of one line is found, unless nothing determines that number."""

from __future__ import annotations

import base64
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consistent_bench import make_bench
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.digest import is_edited
from dynvit.measurements.base import measurements
from dynvit.report.found import checked, warn_of_contradictions

ROOT = Path(__file__).parents[2]
FROZEN, BOARDS = ROOT / "tests" / "frozen_v1", ROOT / "leaderboards"
Json = Any
Keys = tuple[str | int, ...]
# Numbers that nothing else determines; docs/reading.md says so, name by name.
UNDETERMINED = {
    **{name: {"environment.cpu_threads", "environment.processes", "wall_s"} for name in ("robustness", "corruption")},
    "runs": {
        *("environment.cpu_threads", "environment.processes", "wall_s"),
        *("compute.gmacs_p50", "compute.gmacs_max"),
    },
    "speed": {
        *("environment.cpu_threads", "environment.processes", "wall_s"),
        *("result.latency_p50_ms", "result.latency_p95_ms", "result.images_per_s", "result.dense_images_per_s"),
        *("result.speedup_low", "result.speedup_high"),
        *("result.peak_memory_mb", "result.dense_peak_memory_mb", "result.rounds_run", "result.warmup_runs"),
    },
    "per_sample": set(),
    "leaderboard": set(),
}


@pytest.fixture(scope="module", autouse=True)
def _registered_once() -> Iterator[None]:
    """What is installed does not change between two edits, and looking for it takes most of the time."""
    known = measurements.load_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurements, "load_all", lambda: known)
        patch.setattr(measurements, "names", lambda: sorted(known))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]) -> Path:
    """A bench that nobody edited."""
    return make_bench(tmp_path_factory.mktemp("bench"), measure)


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    """One to edit."""
    return Path(shutil.copytree(done, tmp_path / "out"))


def read(file: Path) -> list[Json]:
    text = file.read_text()
    return [json.loads(text)] if file.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def write(file: Path, lines: list[Json]) -> None:
    """Without digests, as older files are: what is held then is held by the other numbers."""
    kept = ({key: value for key, value in line.items() if key != "sha256"} for line in lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in kept))


def edit(file: Path, number: int, change: Callable[[Json], Any]) -> None:
    """Change one line, the first is 1."""
    lines = read(file)
    change(lines[number - 1])
    write(file, lines)


def leaves(value: Json, at: Keys = ()) -> Iterator[tuple[Keys, Json]]:
    """Every number and flag of a JSON value, with the keys that lead there."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*at, key))
    elif isinstance(value, int | float):
        yield at, value


def every_leaf(value: Json, at: Keys = ()) -> Iterator[tuple[Keys, Json]]:
    """Numbers, flags and text."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from every_leaf(inner, (*at, key))
    elif value is not None:
        yield at, value


def another(value: float) -> float:
    """A number that is nearly the same: what is held, is held to the last digits."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value * (1 + 1e-6) or 1e-6


def put(value: Json, at: Keys, new: Json) -> None:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = new


def faults(path: Path) -> str:
    """All that validate says of a path but "all valid"."""
    said = []
    try:
        said.extend(checked(path))
    except InputError as error:
        said.append(str(error))
    return "\n".join(line for line in said if not line.endswith("all valid"))


def named(at: Keys) -> str:
    return ".".join("*" if isinstance(key, int) else key for key in at)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDETERMINED)
def test_every_number_is_held_that_anything_determines(copy: Path, name: str) -> None:
    file = next(copy.glob(f"{name}.json*"))
    whole = file.read_bytes()
    unseen: set[str] = set()
    lines = len(read(file))
    for number in sorted({1, min(2, lines), lines}):
        tried: set[str] = set()
        for at, value in leaves(read(file)[number - 1]):
            if named(at) in tried:  # of many entries of a board one is enough
                continue
            tried.add(named(at))
            edit(file, number, lambda line, at=at, value=value: put(line, at, another(value)))  # type: ignore[misc]
            where = file.name if file.suffix == ".json" else f"{file.name} line {number}"
            if where not in faults(copy):
                unseen.add(named(at))
            file.write_bytes(whole)
    assert unseen == UNDETERMINED[name]


def test_what_validate_cannot_see_is_said() -> None:
    said = (ROOT / "docs" / "reading.md").read_text()
    for names in UNDETERMINED.values():
        assert all(f"`{name.rpartition('.')[2]}`" in said for name in names)


@pytest.mark.parametrize("name", UNDETERMINED)
def test_the_digest_holds_every_number_and_every_text(copy: Path, name: str) -> None:
    file = next(copy.glob(f"{name}.json*"))
    lines = read(file)
    unseen = set()
    for at, value in every_leaf(lines[-1]):
        put(lines[-1], at, f"{value}x" if isinstance(value, str) else another(value))
        if not is_edited(lines[-1]):
            unseen.add(named(at))
        put(lines[-1], at, value)
    assert unseen == set()
    assert not is_edited(lines[-1])


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("runs", ("wall_s",)),
        ("speed", ("result", "latency_p50_ms")),
        ("leaderboard", ("generated", "command")),
    ],
)
def test_an_edit_that_contradicts_nothing_is_found_by_the_digest(copy: Path, name: str, at: Keys) -> None:
    file = next(copy.glob(f"{name}.json*"))
    whole = read(file)
    value = next(value for keys, value in every_leaf(whole[0]) if keys == at)
    put(whole[0], at, f"{value}x" if isinstance(value, str) else value * 1.001)
    file.write_text("".join(json.dumps(line) + "\n" for line in whole))
    assert "must be as it was written" in faults(copy)
    with pytest.warns(UserWarning, match="must be as it was written"):
        warn_of_contradictions(copy if name != "leaderboard" else file)


def test_other_spaces_and_another_order_are_no_edit(copy: Path) -> None:
    for file in copy.glob("*.json*"):
        lines = [dict(reversed(line.items())) for line in read(file)]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert faults(copy) == ""


@pytest.mark.parametrize("name", ["per_sample", "robustness", "corruption"])
def test_every_bit_of_the_images_is_held(copy: Path, name: str) -> None:
    file = copy / f"{name}.jsonl"
    whole = file.read_bytes()
    at = ("right",) if name == "per_sample" else ("result", "right")
    line = read(file)[3]
    right = base64.b64decode(line["right"] if name == "per_sample" else line["result"]["right"])
    for bit in range(8 * len(right)):
        flipped = bytearray(right)
        flipped[bit // 8] ^= 128 >> bit % 8
        edit(file, 4, lambda line, new=flipped: put(line, at, base64.b64encode(new).decode()))  # type: ignore[misc]
        said = faults(copy)
        assert f"{file.name} line 4" in said
        assert "right" in said
        file.write_bytes(whole)


def test_two_images_that_change_places_are_found_by_the_board(copy: Path) -> None:
    def swap(line: Json) -> None:
        bits = [int(b) for byte in base64.b64decode(line["right"]) for b in f"{byte:08b}"][:40]
        both = list(zip(bits, static, strict=True))
        bits[both.index((1, 1))], bits[both.index((0, 0))] = 0, 1
        packed = bytes(int("".join(map(str, bits[i : i + 8])), 2) for i in range(0, 40, 8))
        line["right"] = base64.b64encode(packed).decode()

    first = read(copy / "per_sample.jsonl")[0]["right"]
    static = [int(b) for byte in base64.b64decode(first) for b in f"{byte:08b}"][:40]
    edit(copy / "per_sample.jsonl", 4, swap)
    assert "against_dense" in faults(copy)


@pytest.mark.parametrize("name", ["gained", "lost", "n"])
def test_a_count_above_all_images_is_found(copy: Path, name: str) -> None:
    def change(board: Json) -> None:
        paired = next(entry["against_dense"] for entry in board["entries"] if entry["against_dense"])
        paired[name] = 1 if name == "n" else 10**6

    edit(copy / "leaderboard.json", 1, change)
    assert "against_dense" in faults(copy)


def interval(line: Json) -> None:
    accuracy = line["accuracy"]
    accuracy["top1_ci95_high_pct"] = (accuracy["top1_ci95_high_pct"] + accuracy["top1_pct"]) / 2


def accuracy_under_attack(line: Json) -> None:
    line["result"]["accuracy_pct"] = 50.0 if line["result"]["accuracy_pct"] != 50 else 25.0


def top1_of_an_entry(line: Json) -> None:
    line["entries"][-1]["top1_pct"] = 60.0


@pytest.mark.parametrize(
    ("file", "line", "change", "says"),
    [
        ("runs.jsonl", 2, interval, "runs.jsonl line 2: accuracy.top1_ci95_high_pct must be"),
        ("robustness.jsonl", 1, accuracy_under_attack, "robustness.jsonl line 1: result.accuracy_pct must be"),
        ("leaderboard.json", 1, top1_of_an_entry, "leaderboard.json: entries.4.top1_pct must be"),
    ],
)
def test_a_fault_is_one_line_with_file_line_and_number(
    copy: Path, capsys: pytest.CaptureFixture[str], file: str, line: int, change: Callable[[Json], Any], says: str
) -> None:
    edit(copy / file, line, change)
    assert main(["validate", str(copy)]) == 2
    out, err = capsys.readouterr()
    assert says in out
    assert err.startswith("dynvit: error: ")
    assert len(err.splitlines()) == 1
    assert f"{copy / file}: 5 records, all valid" not in out
    assert main(["validate", str(copy / file)]) == 2  # the file alone is held against those beside it


def without(name: str, number: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = read(folder / name)
        del lines[number - 1]
        write(folder / name, lines)

    return change


def again(name: str, number: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = read(folder / name)
        write(folder / name, [*lines, lines[number - 1]])

    return change


def not_a_number(name: str, *at: str, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        edit(file, 1, lambda line: put(line, at, math.pi))
        file.write_text(file.read_text().replace(str(math.pi), value))

    return change


def of_other_images(folder: Path) -> None:
    edit(folder / "per_sample.jsonl", 2, lambda line: put(line, ("images",), "0" * 16))


def of_a_newer_version(folder: Path) -> None:
    edit(folder / "robustness.jsonl", 2, lambda line: put(line, ("schema_version",), 3))


def an_entry_less(folder: Path) -> None:
    edit(folder / "leaderboard.json", 1, lambda board: board["entries"].pop())


def a_summary_less(folder: Path) -> None:
    edit(folder / "leaderboard.json", 1, lambda board: board["entries"][1]["measurements"].pop("speed"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("runs.jsonl", 2), ("robustness.jsonl line 9", "must name a record of runs.jsonl")),
        (without("runs.jsonl", 5), ("speed.jsonl line 9", "must name a record")),
        (without("per_sample.jsonl", 3), ("leaderboard.json", "entries.1.against_dense")),
        (without("robustness.jsonl", 3), ("leaderboard.json", "measurements.robustness")),
        (without("corruption.jsonl", 3), ("leaderboard.json", "measurements.corruption")),
        (again("runs.jsonl", 2), ("runs.jsonl line 6", "stands in runs.jsonl line 2")),
        (again("speed.jsonl", 2), ("speed.jsonl line 11", "stands in speed.jsonl line 2")),
        (of_other_images, ("per_sample.jsonl line 2", "images must be")),
        (of_a_newer_version, ("robustness.jsonl line 2", "schema_version", "3")),
        (an_entry_less, ("leaderboard.json", "entries must hold the record")),
        (a_summary_less, ("leaderboard.json", "entries.1.measurements.speed")),
        (not_a_number("runs.jsonl", "wall_s", value="NaN"), ("runs.jsonl line 1", "wall_s", "finite")),
        (not_a_number("runs.jsonl", "point", "knobs", "x", value="1e999"), ("runs.jsonl line 1", "knobs.x")),
        (not_a_number("robustness.jsonl", "result", "eps", value="Infinity"), ("robustness.jsonl line 1", "finite")),
        (not_a_number("speed.jsonl", "config", "x", value="-Infinity"), ("speed.jsonl line 1", "finite")),
        (not_a_number("leaderboard.json", "hypervolume", value="NaN"), ("leaderboard.json", "NaN is not a number")),
    ],
)
def test_files_are_held_against_each_other(copy: Path, change: Callable[[Path], None], says: tuple[str, ...]) -> None:
    change(copy)
    said = faults(copy)
    assert all(word in said for word in says), said


def test_records_of_another_setting_do_not_lie_beside_a_board(copy: Path, measure: Callable[..., Any]) -> None:
    other = measure("topk", 0.5, 20, n=100, dense=2.0).model_dump(mode="json")
    write(copy / "runs.jsonl", [*read(copy / "runs.jsonl"), other])
    assert "runs.jsonl line 6: must be of the setting of leaderboard.json" in faults(copy)


def test_a_kill_between_per_sample_results_and_record_is_no_fault(copy: Path) -> None:
    line = read(copy / "per_sample.jsonl")[1] | {"record_id": "0" * 16}
    write(copy / "per_sample.jsonl", [*read(copy / "per_sample.jsonl"), line])
    assert faults(copy) == ""
    write(copy / "per_sample.jsonl", [line, *read(copy / "per_sample.jsonl")[:-1]])
    assert "per_sample.jsonl line 1: record_id must name a record" in faults(copy)


def test_another_machine_may_round_an_image_to_the_other_side(copy: Path) -> None:
    def change(line: Json) -> None:
        line["environment"]["cpu"] = "another processor"
        line["result"]["clean_accuracy_pct"] = 100 * 10 / 12

    edit(copy / "robustness.jsonl", 1, lambda line: put(line, ("result", "clean_accuracy_pct"), 100 * 10 / 12))
    assert "clean_accuracy_pct" in faults(copy / "robustness.jsonl")
    edit(copy / "robustness.jsonl", 1, change)
    assert faults(copy / "robustness.jsonl") == ""


@pytest.mark.parametrize("name", ["leaderboard", "robustness", "corruption", "speed", "runs"])
def test_a_file_alone_is_held_against_itself(done: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / next(done.glob(f"{name}.json*")).name
    shutil.copy(done / file.name, file)
    assert faults(file) == ""
    unseen = set()
    for at, value in {named(at): (at, value) for at, value in leaves(read(file)[0])}.values():
        edit(file, 1, lambda line, at=at, value=value: put(line, at, another(value)))  # type: ignore[misc]
        if not faults(file):
            unseen.add(named(at))
        shutil.copy(done / file.name, file)
    assert not {key for key in unseen if "ci95" in key or "hypervolume" in key or "saving_pct" in key or "share" in key}
    assert "accuracy.top1_pct" not in unseen


@pytest.mark.parametrize("path", [FROZEN, *sorted(BOARDS.glob("*.json"))], ids=lambda path: path.name)
def test_what_was_published_is_valid(path: Path) -> None:
    assert faults(path) == ""


def test_a_folder_of_version_1_is_held_too(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FROZEN, tmp_path / "old"))
    edit(folder / "robustness.jsonl", 5, lambda line: put(line, ("measured", "accuracy_pct"), 1.0))
    assert "robustness.jsonl line 5: result.accuracy_pct must be" in faults(folder)
    edit(folder / "leaderboard.json", 1, lambda board: put(board, ("entries", 1, "gmacs_p95"), 1.0))
    shutil.copy(FROZEN / "robustness.jsonl", folder)
    assert "leaderboard.json: entries.1.gmacs_p95 must be" in faults(folder)
