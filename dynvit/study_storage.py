"""A storage of Optuna's that a search is copied into, for optuna-dashboard; nothing is ever read from it to search by.

One process writes, whole trials only, in their order. So none of what shared storages are known for can happen here:
trials that live and are marked failed (heartbeats work under ``optimize`` alone), journals that several machines of an
NFS write into one another, proposals that depend on who came first.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from dynvit.errors import InputError, install, os_fault
from dynvit.interface import OperatingPoint
from dynvit.plain import passwords_in, say, without_password
from dynvit.reading import check_regular
from dynvit.search import Objectives, directions_of

PATIENCE_S = 30.0
"""How long a storage may take to answer: one that hangs must not hold a search up."""
_LOCK_PATIENCE_S = 10
"""After so long the lock of a journal is a killed process's."""
_FORMS = "postgresql://USER@HOST/DATABASE, sqlite:///FILE or journal:FILE"
ResultT = TypeVar("ResultT")


def check_storage(url: str) -> None:
    """Raises: ``InputError`` for a URL that names no storage. Whether it is there is asked where it is opened."""
    kind, place = _parts(url)
    if kind not in ("postgresql", "sqlite", "journal") or not place or place == ":memory:":
        raise InputError(f"--storage must be {_FORMS}, got {without_password(url)!r}")


def _check_here(url: str) -> None:
    """Raises: ``InputError`` for a driver that is not installed, and a folder that is not there."""
    kind, place = _parts(url)
    if kind == "postgresql" and find_spec("psycopg") is None:
        raise InputError(f"--storage postgresql:// needs psycopg: {install('storage')}")
    if kind == "postgresql":
        return
    if Path(place).exists():
        check_regular(place, "--storage")
    if not Path(place).absolute().parent.is_dir():
        raise InputError(f"--storage {url}: there is no folder {str(Path(place).parent)!r}; make it first")


@dataclass
class StudyStorage:
    """An open storage. After its first fault it is told no more: the records have everything."""

    url: str
    storage: Any = field(repr=False)
    lost: bool = False

    @classmethod
    def open(cls, url: str) -> StudyStorage:
        """Raises: ``InputError`` for one that cannot be reached, or is none."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        check_storage(url)
        _check_here(url)
        return cls(url, _reached(url, lambda: _opened(url)))

    def study(self, name: str, knobs: Mapping[str, BaseDistribution], metrics: Sequence[str]) -> StudyCopy:
        """The study of a name, made where there is none. Raises: ``InputError`` where it cannot be written."""
        return StudyCopy(self, knobs, _reached(self.url, lambda: _made(self.storage, name, metrics)))

    def lose(self, why: str) -> None:
        """Say once that the storage gets nothing more."""
        if not self.lost:
            self.lost = True
            say(
                f"warning: --storage {without_password(self.url)} gets no more trials ({why}); the search goes on, and "
                "its records have them all",
                err=True,
            )


@dataclass(frozen=True)
class StudyCopy:
    """One search's study in a storage."""

    within: StudyStorage
    knobs: Mapping[str, BaseDistribution]
    study: optuna.Study = field(repr=False)

    def complete(self, points: Sequence[OperatingPoint], worths: Sequence[Objectives]) -> None:
        """Add the trials that it lacks of those that have been told. A fault of the storage is a warning."""
        if self.within.lost:
            return
        try:
            _within(PATIENCE_S, lambda: self._add(points, worths))
        except Exception as error:
            self.within.lose(_said(error, self.within.url))

    def _add(self, points: Sequence[OperatingPoint], worths: Sequence[Objectives]) -> None:
        there = self.study.get_trials(deepcopy=False)
        told = list(zip(points, worths, strict=False))
        for trial, (point, worth) in zip(there, told, strict=False):
            if not _is(trial, point, worth):
                raise ValueError(f"its trial {trial.number} is not what this search measured there")
        for point, worth in told[len(there) :]:
            if self.within.lost:  # given up while it did not answer
                return
            self.study.add_trial(create_trial(values=worth.values, params=dict(point), distributions=dict(self.knobs)))


def _is(trial: FrozenTrial, point: OperatingPoint, worth: Objectives) -> bool:
    return trial.state is TrialState.COMPLETE and trial.params == dict(point) and trial.values == worth.values


def _parts(url: str) -> tuple[str, str]:
    """The kind, and the file of a file; postgresql's place is whatever follows."""
    kind, _, place = url.partition(":")
    kind = kind.partition("+")[0]
    if kind == "journal":
        return kind, place
    start = "///" if kind == "sqlite" else "//"
    if not place.startswith(start):
        return "", place
    place = place.removeprefix(start)
    return kind, place.partition("?")[0].removeprefix("file:") if kind == "sqlite" else place


def _opened(url: str) -> Any:
    kind, place = _parts(url)
    if kind == "journal":
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage

        lock = JournalFileSymlinkLock(place, grace_period=_LOCK_PATIENCE_S)
        _heal(Path(place), lock)
        return JournalStorage(JournalFileBackend(place, lock))
    # Between two trials of a long measurement a server may end the connection.
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "postgresql":
        engine["connect_args"] = {"connect_timeout": int(_LOCK_PATIENCE_S)}
        url = re.sub(r"^postgresql(?=:)", "postgresql+psycopg", url)
    return optuna.storages.RDBStorage(url, engine_kwargs=engine)


def _heal(file: Path, lock: Any) -> None:
    """Take away the half line that a killed process left at a journal's end: nothing behind it could be read.

    Raises: ``ValueError`` for a file that is no journal.
    """
    if not file.exists() or not file.stat().st_size:
        return
    with file.open("rb") as lines:
        first = lines.readline()
    if not (first.startswith(b"{") and first.endswith(b"\n") and "op_code" in json.loads(first)):
        raise ValueError("the file is no journal of Optuna's")
    lock.acquire()
    try:
        text = file.read_bytes()
        if not text.endswith(b"\n"):
            with file.open("rb+") as torn:
                torn.truncate(text.rfind(b"\n") + 1)
    finally:
        lock.release()


def _made(storage: Any, name: str, metrics: Sequence[str]) -> optuna.Study:
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions_of(len(metrics)), load_if_exists=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(metrics))  # written each time: what cannot be written is met here
    return study


def _reached(url: str, do: Callable[[], ResultT]) -> ResultT:
    try:
        return _within(PATIENCE_S, do)
    except Exception as error:
        fault = InputError(
            f"--storage {without_password(url)} cannot be used: {_said(error, url)}; give one that can be written, or "
            "leave it out: the search does not need it"
        )
    raise fault  # outside the handler: a driver's own exceptions may hold the password


def _within(seconds: float, do: Callable[[], ResultT]) -> ResultT:
    """What ``do`` returns or raises; ``TimeoutError`` where it takes longer, and is left to itself."""
    results: list[ResultT] = []
    faults: list[Exception] = []

    def work() -> None:
        try:
            results.append(do())
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=work, name="storage", daemon=True)
    thread.start()
    thread.join(seconds)
    if faults:
        raise faults[0]
    if not results:
        raise TimeoutError(f"it has not answered for {seconds:g} s")
    return results[0]


def _said(error: BaseException, url: str) -> str:
    """The innermost reason in one line, without a password."""
    while error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    said = os_fault(error) if isinstance(error, OSError) and error.errno else " ".join(str(error).split())
    for secret in passwords_in(url):
        said = said.replace(secret, "***")
    return without_password(said)[:300] or type(error).__name__
