"""A search's study in a storage: a copy that is completed, never doubled, and costs the search nothing when lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from postgres_helpers import Postgres, postgres

from dynvit import study_storage
from dynvit.api.benching import command_line
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.plain import without_password
from dynvit.search import Objectives
from dynvit.study_storage import StudyCopy, StudyStorage

KNOBS: dict[str, BaseDistribution] = {"keep": FloatDistribution(0.0, 1.0)}
POINTS = [OperatingPoint(keep=number / 7) for number in range(7)]
WORTHS = [Objectives(100 / 3 + number, number / 9) for number in range(7)]


def copy_into(url: str, count: int) -> StudyCopy:
    """As a search does it that has been told so much."""
    copied = StudyStorage.open(url).study("digits-topk", KNOBS, ["top1_pct", "gmacs"])
    for told in range(1, count + 1):
        copied.complete(POINTS[:told], WORTHS[:told])
    return copied


def check_study(url: str, count: int) -> None:
    """Optuna finds the trials that were told, and what each number is."""
    storage = (
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:")))
        if url.startswith("journal:")
        else url.replace("postgresql:", "postgresql+psycopg:")
    )
    study = optuna.load_study(study_name="digits-topk", storage=storage)
    assert [trial.params for trial in study.trials] == [dict(point) for point in POINTS[:count]]
    assert [trial.values for trial in study.trials] == [worth.values for worth in WORTHS[:count]]
    assert study.metric_names == ["top1_pct", "gmacs"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


@pytest.fixture(params=["journal:{}/study.log", "sqlite:///{}/studies.db"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def test_a_study_is_completed_and_not_doubled(url: str) -> None:
    copy_into(url, 3)
    check_study(url, 3)
    copy_into(url, 3)
    check_study(url, 3)
    copy_into(url, 7)
    check_study(url, 7)
    copy_into(url, 2)
    check_study(url, 7)


def test_another_searchs_trials_are_left_as_they_are(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy_into(url, 3)
    copied = copy_into(url, 0)
    copied.complete(POINTS[1:], WORTHS[1:])
    copied.complete(POINTS, WORTHS)
    check_study(url, 3)
    [line] = capsys.readouterr().err.splitlines()
    assert "its trial 0 is not what this search measured there" in line
    assert "the search goes on" in line


def test_a_storage_that_dies_is_one_warning_and_is_completed_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "gone" / "studies.log"
    stored.parent.mkdir()
    copied = copy_into(f"journal:{stored}", 3)
    stored.parent.rename(tmp_path / "back")
    for told in range(4, 7):
        copied.complete(POINTS[:told], WORTHS[:told])
    [line] = capsys.readouterr().err.splitlines()
    assert "warning: --storage journal:" in line
    (tmp_path / "back").rename(stored.parent)
    copied.complete(POINTS[:6], WORTHS[:6])  # one that was lost is not tried again
    check_study(f"journal:{stored}", 3)
    copy_into(f"journal:{stored}", 6)
    check_study(f"journal:{stored}", 6)
    assert capsys.readouterr().err == ""


def test_a_storage_that_hangs_is_left_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study_storage, "PATIENCE_S", 0.2)
    copied = copy_into(f"journal:{tmp_path / 'study.log'}", 0)
    (tmp_path / "study.log.lock").symlink_to("held")
    began = time.monotonic()
    copied.complete(POINTS, WORTHS)
    copied.complete(POINTS, WORTHS)
    assert time.monotonic() - began < 5
    assert capsys.readouterr().err.count("it has not answered for 0.2 s") == 1
    (tmp_path / "study.log.lock").unlink()


def test_what_a_kill_left_of_a_journals_line_is_taken_away(tmp_path: Path) -> None:
    stored = tmp_path / "study.log"
    copy_into(f"journal:{stored}", 2)
    with stored.open("ab") as journal:
        journal.write(b'{"op_code":4,"worker_')
    copy_into(f"journal:{stored}", 4)
    check_study(f"journal:{stored}", 4)


def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    for text in ("no newline", "one\ntwo", '{"a": 1}\n{"torn', "[1]\n2"):
        other.write_text(text)
        with pytest.raises(InputError, match=r"notes\.txt cannot be used: the file is no journal of Optuna's"):
            StudyStorage.open(f"journal:{other}")
        assert other.read_text() == text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@h/db", "postgresql://me:***@h/db"),
        ("postgresql://me:se@cr/et:@h:5/db", "postgresql://me:***@h:5/db"),
        ("postgresql://:secret@h/db", "postgresql://:***@h/db"),
        ("postgresql:///db?user=me&password=secret", "postgresql:///db?user=me&password=***"),
        ("postgresql://me@h/db", "postgresql://me@h/db"),
        ("journal:a@b", "journal:a@b"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_a_password_is_not_said(url: str, said: str) -> None:
    assert without_password(url) == said


def test_no_record_says_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["dynvit", "bench", "--storage=postgresql://me:secret@h/db", "--storage", "postgresql://me:secret@h/db"]
    monkeypatch.setattr(sys, "argv", words)
    assert command_line() == ("dynvit bench '--storage=postgresql://me:***@h/db' --storage 'postgresql://me:***@h/db'")


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_storage, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs psycopg: pip install \"\.\[storage\]\""):
        StudyStorage.open("postgresql://me@h/db")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: dynvit[storage]")
    with postgres() as started:
        yield started


@pytest.mark.slow
def test_a_real_postgresql_has_the_study(server: Postgres) -> None:
    url = server.made("studies")
    copy_into(url, 3)
    check_study(url, 3)
    copy_into(url, 7)
    check_study(url, 7)


@pytest.mark.slow
def test_a_postgresql_that_refuses_says_why_and_no_password(server: Postgres) -> None:
    server.made("closed")
    for url, says in (
        (server.url("nobodys"), 'database "nobodys" does not exist'),
        (server.url("closed", user="dynvit", password="wr0ng"), "password authentication failed"),
    ):
        with pytest.raises(InputError, match=says) as refused:
            StudyStorage.open(url)
        assert "wr0ng" not in str(refused.value)
        assert server.password not in str(refused.value)


@pytest.mark.slow
def test_a_postgresql_that_only_reads_is_refused_before_work_is_done(server: Postgres) -> None:
    url = server.made("readonly")
    copy_into(url, 1)
    server.say("ALTER DATABASE readonly SET default_transaction_read_only = on")
    with pytest.raises(InputError, match="read-only transaction"):
        copy_into(url, 0)


@pytest.mark.slow
def test_a_postgresql_that_dies_or_hangs_costs_one_warning_and_the_study_is_completed(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.made("dying")
    copied = copy_into(url, 2)
    server.stop()
    try:
        copied.complete(POINTS[:3], WORTHS[:3])
        copied.complete(POINTS[:4], WORTHS[:4])
    finally:
        server.start()
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --storage postgresql://dynvit:***@127.0.0.1:")
    monkeypatch.setattr(study_storage, "PATIENCE_S", 1.0)
    copied = copy_into(url, 4)
    check_study(url, 4)
    with server.frozen():
        copied.complete(POINTS[:5], WORTHS[:5])
    assert "it has not answered for 1 s" in capsys.readouterr().err
    monkeypatch.undo()
    copy_into(url, 7)
    check_study(url, 7)
