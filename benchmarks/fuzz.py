"""Damaged files for every reader and random options for every command: no traceback, no hang, no number that changed.

    python benchmarks/fuzz.py [--seed 0] [--files 2000] [--options 1000] [--seconds 180] [--minutes 10]

Each try runs in a process of its own, forked from one that has imported everything. A fault is a traceback, a hang or a
crash, and a number that is another one than that of the whole file while the command says nothing and ends with 0.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import typer
from _fuzz_damage import LEGITIMATE, copied, damaged
from _fuzz_inputs import READERS, Reader, make
from _measure import Row, report, run

from dynvit.cli import command_line
from dynvit.cli import main as dynvit_main
from dynvit.errors import InputError

_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
_WORDS = ("warning", "fault", "bad", "left out", "torn", "skipped", "not ")
_VALUES = (
    *("0", "-1", "1", "2", "3.5", "nan", "inf", "-inf", "1e999", "9" * 400, "x", "", " ", ",", "a,,b", "1,1", "é"),
    *("dense", "topk", "random", "dense,dense", "digits", "vit_digits", "cpu", "auto", "raise", "skpi", "no", "true"),
    *("IN/run", "IN/checkpoint", "IN/none", "/dev/null", "/dev/zero", ".", "IN/suite/suite.yaml", "IN/run/runs.jsonl"),
    *("IN/plugin/mine.py", "topk.stages=2", "topk=IN/checkpoint", "keep_ratio=0.5", "keep_ratio=nan", "a=b=c", "="),
    *("pgd", "fgsm", "4/255", "1/0", "all", "contrast", "matmul+conv", "hf://", "hf://a", "a" * 5000, "linf"),
    *("[/]", "\x1b[31m"),
)
COMMANDS = ("bench", "train", "speed", "attack", "explain", "check", "show", "validate", "convert", "compare")
# What keeps a try short stands last and wins.
_SHORT = {
    "bench": "--dry-run --methods dense,topk -o OUT",
    "train": "--method dense --dataset digits --backbone vit_digits --epochs 1 --limit-train 8 --batch-size 4 -o OUT",
    "speed": "--method topk --knob keep_ratio=0.5 --speed-batches 1 --speed-rounds 1",
    "attack": "--limit 2 --batch-size 2 -o OUT",
    "explain": "--limit 2 -o OUT",
    "check": "dense",
}


@dataclass(frozen=True)
class Outcome:
    """How a try ended. ``code`` is None where it was stopped, or crashed."""

    code: int | None
    out: str
    err: str

    @property
    def fault(self) -> str:
        """Traceback, hang or crash; empty for none."""
        if self.code is None:
            return "hang" if self.err.endswith("SIGALRM") else "crash"
        return "traceback" if "Traceback (most recent call last)" in self.err else ""

    @property
    def last(self) -> str:
        """The last line that was said."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return lines[-1][:160] if lines else ""


@dataclass
class Tally:
    """What was tried and found, by reader or command."""

    tried: Counter[str] = field(default_factory=Counter)
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, fault: str, said: str) -> None:
        """One try; a fault is said at once."""
        self.tried[name] += 1
        if fault:
            self.found.setdefault(name, []).append(fault)
            print(f"{fault}: {name}: {said}", flush=True)

    def count(self, fault: str) -> int:
        """How often a fault was found."""
        return sum(faults.count(fault) for faults in self.found.values())


def forked(call: Callable[[], int], folder: Path, seconds: int) -> Outcome:
    """Run ``call`` in a child, whose output goes to files in ``folder``, for at most ``seconds``."""
    out, err = folder / "out.txt", folder / "err.txt"
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        code = 1
        try:
            for path, number in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            streams = [os.fdopen(os.dup(number), "w", encoding="utf-8", errors="replace") for number in (1, 2)]
            sys.stdout, sys.stderr = streams
            code = call()
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    said = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    if os.WIFSIGNALED(status):
        return Outcome(None, said[0], f"{said[1]}\n{signal.Signals(os.WTERMSIG(status)).name}")
    return Outcome(os.WEXITSTATUS(status), *said)


def reading(reader: Reader, folder: Path, place: Path) -> Callable[[], int]:
    """What reads the folder, as a command line would end."""

    def call() -> int:
        if isinstance(reader.read, str):
            words = reader.read.replace("GOOD", str(place / "good")).replace("OUT", str(place / "made")).split()
            return dynvit_main([word.replace("IN", str(folder)) if word.startswith("IN") else word for word in words])
        try:
            reader.read(folder)
        except InputError as error:
            print(f"dynvit: error: {error}", file=sys.stderr)
            return 2
        return 0

    return call


def _until(count: int, minutes: float) -> Iterator[int]:
    """Numbers of tries, as long as there is time."""
    end = time.monotonic() + 60 * minutes
    return (number for number in range(count) if not minutes or time.monotonic() < end)


def fuzz_files(place: Path, count: int, seed: int, seconds: int, minutes: float = 0) -> Tally:
    """Damaged files, reader after reader."""
    tally, good = Tally(), {}
    for number in _until(count, minutes):
        reader, rng = READERS[number % len(READERS)], random.Random(f"{seed}/file/{number}")
        work = copied(place / "good" / reader.folder, place / "work")
        _clear(place / "made")
        if reader.name not in good:
            good[reader.name] = forked(reading(reader, work, place), place, seconds)
            if good[reader.name].code != 0:
                tally.add(reader.name, "whole input refused", good[reader.name].last)
            work = copied(place / "good" / reader.folder, place / "work")
            _clear(place / "made")
        files = sorted(p for p in work.rglob("*") if p.is_file() and _named(p.relative_to(work), reader.files))
        path = rng.choice(files)
        how = damaged(rng, path)
        outcome = forked(reading(reader, work, place), place, seconds)
        fault = outcome.fault or _changed(reader, how, outcome, good[reader.name])
        tally.add(reader.name, fault, f"#{number} {path.relative_to(work)} {how}: {outcome.last}")
    return tally


def _named(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(str(path), pattern) for pattern in patterns)


def _changed(reader: Reader, how: str, outcome: Outcome, good: Outcome) -> str:
    """A number that the whole input does not have, where nothing is said of a fault."""
    said = outcome.err.lower() + outcome.out.lower().replace(good.out.lower(), "")
    if not reader.exact or outcome.code != 0 or how in LEGITIMATE or any(word in said for word in _WORDS):
        return ""
    new = Counter(_NUMBERS.findall(outcome.out)) - Counter(_NUMBERS.findall(good.out))
    return "number changed" if new else ""


def _clear(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every sub-command as typer has it: a new one is tried too."""
    root: Any = typer.main.get_command(command_line([]))
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        if inner:
            yield from (([name, sub], one) for sub, one in inner.items())
        else:
            yield [name], typer.main.get_command(command_line([name])).commands[name]  # type: ignore[attr-defined]


def words_for(rng: random.Random, command: Any, good: Path) -> list[str]:
    """A few of a command's options with random values, and its arguments."""
    words: list[str] = []
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    for one in rng.sample(options, min(len(options), rng.choice((0, 1, 1, 2, 3)))):
        words.append(rng.choice([*one.opts, *one.secondary_opts]))
        if not one.is_flag:
            words.append(rng.choice(_VALUES))
    for one in command.params:
        if one.param_type_name == "argument" and (one.required or rng.random() < 0.5):
            words.append(rng.choice(_VALUES))
    return [word.replace("IN", str(good), 1) if word.startswith(("IN", "topk=IN")) else word for word in words]


def fuzz_options(place: Path, count: int, seed: int, seconds: int, minutes: float = 0) -> Tally:
    """Random options, command after command."""
    tally, every = Tally(), list(commands())
    for number in _until(count, minutes):
        (names, command), rng = every[number % len(every)], random.Random(f"{seed}/options/{number}")
        _clear(place / "made")
        _clear(place / "work")
        (place / "work").mkdir()
        short = _SHORT.get(names[0], "").replace("OUT", str(place / "made")).split()
        words = [*names, *words_for(rng, command, place / "good"), *short]

        def call(words: list[str] = words) -> int:
            os.chdir(place / "work")
            return dynvit_main(words)

        outcome = forked(call, place, seconds)
        said = " ".join(word[:40] for word in words).encode("utf-8", "replace").decode()
        tally.add(" ".join(names), outcome.fault, f"#{number} {said}: {outcome.last}")
    return tally


def _rows(tally: Tally) -> list[Row]:
    return [
        Row(name, f"{tried} tried, {', '.join(f'{n} × {f}' for f, n in Counter(tally.found[name]).items())}"
            if name in tally.found else f"{tried} tried", "0 faults", name not in tally.found)
        for name, tried in tally.tried.items()
    ]  # fmt: skip


def main(files: int = 2000, options: int = 1000, seed: int = 0, seconds: int = 180, minutes: float = 0) -> None:
    """Try --files damaged files and --options sets of options, each for at most --seconds; name every fault.

    With --minutes each of the two ends after so many, and says how many were tried.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dynvit-fuzz-") as name:
        place = Path(name)
        os.environ |= {"DYNVIT_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1", "HOME": str(place)}
        os.environ.pop("DYNVIT_DATA", None)
        os.chdir(place)
        make(place / "good")
        tallies = (
            fuzz_files(place, files, seed, seconds, minutes),
            fuzz_options(place, options, seed, seconds, minutes),
        )
        os.chdir("/")
    kinds = ("traceback", "hang", "crash", "number changed")
    counts = {fault: sum(tally.count(fault) for tally in tallies) for fault in kinds}
    total = [Row(fault, str(count), "0", count == 0) for fault, count in counts.items()]
    tried = [sum(tally.tried.values()) for tally in tallies]
    title = f"{tried[0]:,} damaged files, {tried[1]:,} sets of options, seed {seed}, {time.monotonic() - start:,.0f} s"
    report(title, [row for tally in tallies for row in _rows(tally)] + total)


if __name__ == "__main__":
    run(main)
