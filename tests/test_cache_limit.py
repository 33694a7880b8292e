"""Fetched shards take no more than they may: the least recently used go, what is read stays, what went comes again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cache_helpers import allow, empty_cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynvit import cache
from dynvit.data import space
from dynvit.data.held import Held, Place
from dynvit.data.space import NoSpaceError, Space
from dynvit.errors import InputError

SIZES = {name: 100 * (number + 1) for number, name in enumerate("abcde")}


@pytest.fixture(autouse=True)
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_cache(tmp_path, monkeypatch)


def hold(name: str, size: int = 0, ahead: bool = False, step: int = 0) -> Held:
    """A shard of so many bytes of its name, fetched where it is not there; ``step`` bytes at a time of unknown size."""
    whole = name.encode() * (size or SIZES[name])

    def fetch(into: Path, space: Space) -> None:
        with into.open("wb") as file:
            for start in range(0, len(whole), step or len(whole)):
                part = whole[start : start + (step or len(whole))]
                space(start + len(part))
                file.write(part)
                file.flush()

    return Place(name, f"{name}.tar").held(fetch, lambda path: path.read_bytes() == whole, ahead=ahead)


def there(shards: Path) -> set[str]:
    return {path.stem for path in shards.glob("*/*.tar")}


class Model:
    """What must be there: names in the order of their use."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.open = limit, list[str](), dict[str, Held]()

    def hold(self, name: str) -> None:
        if name in self.used:
            self.used.remove(name)
        self.lower(SIZES[name])
        self.used.append(name)

    def lower(self, coming: int = 0) -> None:
        for other in [n for n in self.used if n not in self.open]:
            if sum(SIZES[n] for n in self.used) + coming > self.limit:
                self.used.remove(other)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(max(SIZES.values()), sum(SIZES.values())),
    steps=st.lists(st.tuples(st.sampled_from(sorted(SIZES)), st.booleans(), st.sampled_from([0, 3, -(10**10)]))),
)
def test_the_least_recently_used_go_first_and_what_is_read_stays_whatever_the_clock_says(
    limit: int, steps: list[tuple[str, bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, clock = tmp_path_factory.mktemp("cache"), [10**18]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNVIT_CACHE", str(folder))
        patch.setattr(space.time, "time_ns", lambda: clock[0])
        allow(patch, limit)
        model = Model(limit)
        for name, keeps, tick in steps:
            clock[0] += tick
            if name in model.open:
                model.open.pop(name).close()
                model.lower()
            model.hold(name)
            found = hold(name)
            assert os.pread(found.handle, 10**6, 0) == name.encode() * SIZES[name]
            if keeps:
                model.open[name] = found
            else:
                found.close()
                model.lower()
            assert there(folder / "shards") == set(model.used)
            taken = sum(SIZES[n] for n in model.used)
            assert taken <= max(limit, sum(SIZES[n] for n in model.open))
        for found in model.open.values():
            found.close()


def test_without_a_limit_nothing_goes(shards: Path) -> None:
    for name in SIZES:
        hold(name).close()
    assert there(shards) == set(SIZES)


def test_a_disk_that_is_nearly_full_is_left_to_the_records(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = 1000 + cache.RESERVE

    def taken() -> int:
        return sum(path.stat().st_size for kind in ("tar", "tmp") for path in shards.rglob(f"*.{kind}"))

    monkeypatch.setattr(space, "free_bytes", lambda _: disk - taken())
    for name in "abc":
        hold(name).close()
    hold("d").close()  # 400 bytes beside 600
    hold("a").close()
    hold("e").close()
    assert there(shards) == {"d", "e", "a"}
    with pytest.raises(InputError, match=r"big\.tar cannot be kept in .*: 512 MiB must be left on its disk; free some"):
        hold("big", 1100)
    assert there(shards) == set()


def test_a_shard_above_the_limit_is_one_line_and_costs_no_other_its_place(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 450)
    hold("d").close()
    for step in (0, 7):
        with pytest.raises(InputError, match=r"e\.tar takes .* or more, and DYNVIT_CACHE_GB allows 4\.5e-07 GB: allow"):
            hold("e", step=step)
    assert [path.name for path in shards.rglob("*.tmp")] == []
    assert there(shards) <= {"d"}


@pytest.mark.parametrize("text", ["0", "-3", "much", "nan", "inf"])
def test_the_limit_must_be_a_size(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DYNVIT_CACHE_GB", text)
    with pytest.raises(InputError, match=f"DYNVIT_CACHE_GB must be a number of gigabytes above 0, got '{text}'"):
        hold("a")


def test_a_shard_that_is_fetched_ahead_waits_for_room_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 700)
    with hold("d"):
        with pytest.raises(NoSpaceError):
            hold("e", ahead=True)
        hold("c", ahead=True).close()
    hold("e", ahead=True).close()


def test_a_size_that_nobody_told_is_kept_to_as_it_grows(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 700)
    for name in "abcde":
        hold(name, step=10).close()
    assert there(shards) == {"e"} | ({"a"} & there(shards))
    assert sum(SIZES[name] for name in there(shards)) <= 700


def test_what_was_opened_stays_readable_whoever_removes_its_name() -> None:
    with hold("a") as found:
        found.path.unlink()
        assert os.pread(found.handle, 3, 0) == b"aaa"
        with hold("a") as again:
            assert again.path.is_file()


def test_a_cache_without_locks_evicts_and_reads_all_the_same(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    allow(monkeypatch, 600)
    for name in "abcde":
        with hold(name) as found:
            assert os.pread(found.handle, 3, 0) == name.encode() * 3
    assert there(shards) == {"a", "e"} or there(shards) == {"e"}


def test_a_process_that_was_forked_off_lets_go_of_its_own_handle_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 600)
    with hold("d") as found:
        child = os.fork()
        if child == 0:
            found.close()
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(NoSpaceError):  # still held here
            hold("c", ahead=True)


def test_who_closes_last_leaves_no_more_than_the_limit(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 500)
    early = hold("c")  # as a thread that fetched ahead and found it there
    hold("d").close()
    assert there(shards) == {"c"}
    late = hold("e")
    assert there(shards) == {"c", "e"}
    early.close()
    assert there(shards) == {"e"}
    late.close()
    assert there(shards) == {"e"}


# -- several processes ---------------------------------------------------------------------------------------

WORK = """
import os, sys, time
from pathlib import Path
from dynvit.data.held import Place
names, rounds, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
print("here", flush=True)
for number in range(rounds):
    name = names[number % len(names)]
    whole = name.encode() * 100_000
    def fetch(into, space):
        with open(os.environ["ASKED"], "a") as asked:
            asked.write(name)
        with into.open("wb") as file:
            for start in range(0, len(whole), 20_000):
                space(max(len(whole), start))
                file.write(whole[start : start + 20_000])
                file.flush()
                time.sleep(pause)
    with Place(name, f"{name}.tar").held(fetch, lambda p: p.stat().st_size == len(whole), ahead=False) as found:
        time.sleep(pause)
        assert os.pread(found.handle, len(whole), 0) == whole
        assert found.path.exists(), "evicted while it was read"
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    begun: list[subprocess.Popen[str]] = []

    def started(names: str, rounds: int, pause: float = 0.002) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORK, names, str(rounds), str(pause)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.communicate()


def largest_while(shards: Path, processes: list[subprocess.Popen[str]]) -> int:
    """The most that shards took while these ran, whole or in part."""
    most = 0
    while any(process.poll() is None for process in processes):
        there, size = set(shards.glob("*/*")), 0
        for path in there:
            try:
                size += path.stat().st_size if path.name not in (space.FETCHING, space.READING) else 0
            except FileNotFoundError:
                continue
        if there == set(shards.glob("*/*")):  # else one that went was added to one that came after it
            most = max(most, size)
        time.sleep(0.001)
    return most


def test_processes_share_a_cache_and_none_loses_what_it_reads(
    start: Callable[..., subprocess.Popen[str]], shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 250_000)
    processes = [start("abcd", 40), start("dcba", 40)]
    assert largest_while(shards, processes) <= 250_000
    assert [process.communicate()[1] for process in processes] == ["", ""]
    assert list(shards.rglob("*.tmp")) == []


def test_a_shard_that_two_processes_want_is_fetched_once(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    processes = [start("a", 1, 0.3) for _ in range(2)]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    assert (tmp_path / "asked").read_text() == "a"


def test_kills_leave_neither_halves_nor_locks(
    start: Callable[..., subprocess.Popen[str]], shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 250_000)
    for number in range(6):
        process = start("abcd", 1000, 0.01)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert all(path.stat().st_size == 100_000 for path in shards.glob("*/*.tar"))
    begun = time.monotonic()
    last = start("abcd", 8)
    assert last.communicate()[1] == ""
    assert time.monotonic() - begun < 20
    assert list(shards.rglob("*.tmp")) == []


def test_who_fetches_and_is_stuck_holds_nobody_up_for_ever(
    start: Callable[..., subprocess.Popen[str]], shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = start("a", 1, 5.0)
    while not list(shards.glob("*/.*.tmp")):
        time.sleep(0.01)
    stuck.send_signal(signal.SIGSTOP)
    monkeypatch.setenv("DYNVIT_FETCH_SECONDS", "0.3")
    hold("a", 100_000).close()
    assert there(shards) == {"a"}
