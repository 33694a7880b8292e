"""Boards and submissions that somebody changed: merged with their meaning unchanged, or refused with the field named.

    python benchmarks/fuzz_boards.py [--tries 10000] [--edited 200] [--seed 0]

One value of one line, or of the board, is changed, taken away, doubled or moved, its digest made again or not; then the
folder or the board is merged into another, or sent in. A fault is an exception that is not for people, a refusal that
names no field, a source or an output that changed, and an output that says something else than what was read. Edits
are of numbers in the published files, with the digest as it was: `dynvit validate` must find each.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _measure import Row, report, run
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from dynvit.errors import InputError
from dynvit.leaderboard.digest import KEY, with_digest
from dynvit.leaderboard.lines import text_of
from dynvit.leaderboard.place import Place
from dynvit.leaderboard.store import RunStore
from dynvit.leaderboard.training import TrainingRecord
from dynvit.report import read_board
from dynvit.report.build import build
from dynvit.report.found import checked
from dynvit.report.merging import merge
from dynvit.report.run_data import read_run
from dynvit.report.submitting import TEXT, submit

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(rb"(?<=[:\[, ])-?\d+(?:\.\d+)?(?:e-?\d+)?(?=[,}\]\n])")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["", "0" * 16, "f" * 64, "\0", "é", "[/]", 10**400, [], {}, [[]], {"a": 1}, 1e308]),
)
HOW = st.sampled_from(["value", "value", "near", "near", "near", "without", "more", "twice", "line twice", "bits"])


@dataclass
class Outcomes:
    """How tries ended, and the faults, each with what was done."""

    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def leaves(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a JSON object but its digest."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        if key != KEY:
            yield (*at, key)
            yield from leaves(value, (*at, key))


def changed(data: st.DataObject, body: Any, how: str) -> tuple[Any, ...]:
    """Change one value of a JSON object; where."""
    at = data.draw(st.sampled_from(list(leaves(body))))
    holder = body
    for key in at[:-1]:
        holder = holder[key]
    value = holder[at[-1]]
    if how == "without" and isinstance(holder, dict):
        del holder[at[-1]]
    elif how == "more" and isinstance(holder, dict):
        holder[f"{at[-1]}_"] = value
    elif how == "twice" and isinstance(holder, list):
        holder.insert(at[-1], value)
    elif how == "near" and isinstance(value, int | float) and not isinstance(value, bool):
        holder[at[-1]] = value + data.draw(st.sampled_from([1, -1])) if isinstance(value, int) else value * 1.01 + 0.001
    else:
        holder[at[-1]] = data.draw(VALUES)
    return at


def mutate(data: st.DataObject, file: Path) -> str:
    """Change a file in one thing. Returns what was done."""
    how = data.draw(HOW)
    if how == "bits":
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        return f"bit of byte {place}"
    whole = file.suffix == ".json"
    texts = [file.read_text()] if whole else file.read_text().splitlines()
    number = data.draw(st.integers(0, len(texts) - 1))
    if how == "line twice":
        texts.insert(number, texts[number])
        file.write_text("\n".join([*texts, ""]))
        return f"line {number} twice"
    body, again = json.loads(texts[number]), data.draw(st.booleans())
    at = changed(data, body, how)
    texts[number] = json.dumps(with_digest(body) if again else body)
    file.write_text("\n".join([*texts, ""]))
    return f"{how} line {number} {'.'.join(map(str, at))}{', digest made again' if again else ''}"


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def merged_as_read(source: Path, output: Path) -> bool:
    """Whether the output says what the lines of the source say."""
    made = build(read_run(Place.of(source)))
    return {e.record_id: e for e in read_board(output).entries} == {e.record_id: e for e in made.entries}


def one_try(data: st.DataObject, good: Path, work: Path, outcomes: Outcomes) -> None:
    """Change a copy of a board and merge it, or of a run's folder, and merge it or send it in."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(good, work)
    published = data.draw(st.booleans())
    folder = work / ("boards" if published else "run")
    sends = not published and data.draw(st.booleans())
    files = (path for path in folder.iterdir() if sends or path.name != "leaderboard.json")
    file = data.draw(st.sampled_from(sorted(files)))
    done = f"{file.relative_to(work)}: {mutate(data, file)}"
    source, output = (folder / "board.json" if published else folder), work / "out" / "out.json"
    before = contents(work)
    try:
        if sends:
            submit(source, output.parent, output.stem)
            (source / TEXT).unlink()
        else:
            merge([source], output)
    except InputError as error:
        outcomes.ended["refused"] += 1
        if not _names_a_field(str(error), good):
            outcomes.faults.append(f"no field named: {done}: {error}")
        if contents(work) != before:
            outcomes.faults.append(f"refused, and something changed: {done}: {error}")
        return
    except Exception as error:
        outcomes.faults.append(f"{type(error).__name__}: {done}: {error}")
        return
    outcomes.ended["merged"] += 1
    after = contents(work)
    if {path: after.get(path) for path in before} != before:
        outcomes.faults.append(f"a source changed: {done}")
    if not merged_as_read(source, output):
        outcomes.faults.append(f"another meaning: {done}")
    try:
        for _ in checked(output.parent):
            pass
    except InputError as error:
        outcomes.faults.append(f"merged, and not valid: {done}: {error}")


_FIELDS: set[str] = set()


def _names_a_field(said: str, good: Path) -> bool:
    if not _FIELDS:
        for file in good.rglob("*.json*"):
            for text in file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]:
                _FIELDS.update(str(key) for at in leaves(json.loads(text)) for key in at)
        _FIELDS.update((KEY, "is not JSON", "Invalid JSON", "not a record", "UTF-8", "zero byte"))
    return any(name in said for name in _FIELDS)


def fuzz(good: Path, work: Path, tries: int, seed: int) -> Outcomes:
    """Many tries. ``good``: a run's folder ``run``, and ``boards`` with ``board.json`` and its lines."""
    outcomes = Outcomes()

    @seeded(seed)
    @settings(max_examples=tries, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def each(data: st.DataObject) -> None:
        one_try(data, good, work, outcomes)

    each()
    return outcomes


def edits(boards: Path, work: Path, count: int, seed: int) -> list[str]:
    """Edit a number of a published file, many times; those that validate does not find."""
    rng, missed = random.Random(seed), []
    files = [path for path in sorted(boards.glob("*.json*")) if path.is_file()]
    for number in range(count):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(boards, work, ignore=shutil.ignore_patterns("*.models", "papers", "schema", "*.md", "*.yaml"))
        file = work / rng.choice(files).name
        content = file.read_bytes()
        found = rng.choice(list(NUMBER.finditer(content)))
        new = found.group()
        while float(new) == float(found.group()):  # another last digit may be the same number
            digit = rng.choice([place for place, one in enumerate(new) if chr(one).isdigit()])
            new = new[:digit] + rng.choice(b"123456789".decode()).encode() + new[digit + 1 :]
        file.write_bytes(content[: found.start()] + new + content[found.end() :])
        try:
            for _ in checked(file if file.suffix == ".json" else work):
                pass
        except InputError:
            continue
        missed.append(f"#{number} {file.name} byte {found.start()}: {found.group()!r} to {new!r}")
    return missed


def make(place: Path) -> Path:
    """A run with every kind of line, and the board that it was merged into."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "leaderboard")]
    from conftest import measured

    from consistent_bench import make_bench

    run = make_bench(place / "run", measured)
    trained = TrainingRecord(division="off-the-shelf")
    records = [record.model_copy(update={"training": trained}) for record in RunStore(run / "runs.jsonl").read()]
    (run / "runs.jsonl").write_bytes(b"".join(text_of(record) + b"\n" for record in records))
    build(read_run(run), command="dynvit bench").write(run / "leaderboard.json")
    (place / "boards").mkdir()
    merge([place / "run"], place / "boards" / "board.json")
    return place


def main(tries: int = 10_000, edited: int = 200, seed: int = 0) -> None:
    """Try --tries changed boards and submissions, and --edited numbers of the published files; name every fault."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dynvit-fuzz-") as name:
        place = Path(name)
        outcomes = fuzz(make(place / "good"), place / "work", tries, seed)
        missed = edits(ROOT / "leaderboards", place / "edits", edited, seed)
    for fault in (*outcomes.faults, *missed):
        print(fault)
    ended = ", ".join(f"{count:,} {how}" for how, count in outcomes.ended.items())
    report(
        f"seed {seed}, {time.monotonic() - start:,.0f} s",
        [
            Row(f"{tries:,} changed boards and submissions", ended),
            Row("faults", str(len(outcomes.faults)), "0", not outcomes.faults),
            Row(f"{edited} edited numbers that nobody finds", str(len(missed)), "0", not missed),
        ],
    )


if __name__ == "__main__":
    run(main)
