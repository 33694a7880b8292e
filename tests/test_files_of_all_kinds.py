"""What people give in place of a file: nothing, a folder, a pipe, noise, other text; each is one line, and no hang."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynvit.cli import main
from dynvit.errors import InputError, os_fault
from dynvit.files import atomic, locked, named, write_whole
from dynvit.reading import MOST_NODES, json_value, read_bytes, read_json, read_text, read_yaml


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def circle(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (lambda path: None, "there is no such file"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (pipe, "is a pipe"),
    "a socket": (bound, "is a socket"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "a link in a circle": (circle, "in a circle"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "there is no such file"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = NO_FILES[kind]
    make(tmp_path / "given")
    for read in (read_bytes, read_text, read_json, read_yaml):
        with pytest.raises(InputError, match=said):
            read(tmp_path / "given", "suite")


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize(
    "command",
    [
        "show given.json",
        "validate given.json",
        "convert given.json",
        "bench -C given.json --dry-run",
        "ls rules --plugin given.json",
        "bench --weights given.json --dry-run",
    ],
)
def test_every_command_says_so_in_one_line(
    kind: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    NO_FILES[kind][0](tmp_path / "given.json")
    assert main(command.split()) == 2
    line = capsys.readouterr().err
    assert line.startswith("dynvit: error: ")
    assert line.count("\n") == 1
    assert "given.json" in line


def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    for path, said in (("a\0b", "cannot be a path"), ("a" * 5000, "too long"), (f"{tmp_path}/f/g", "no such file")):
        with pytest.raises(InputError, match=said):
            read_bytes(path)
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="a file where a folder is needed"):
        read_bytes(tmp_path / "f" / "g")
    (tmp_path / "large").write_bytes(b"12345")
    with pytest.raises(InputError, match="more than 4 bytes"):
        read_bytes(tmp_path / "large", largest=4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("é".encode("latin-1"), "line 1"),
        (b"a\nb\xff", "line 2"),
        ("text".encode("utf-16"), "not UTF-8"),
        (b"a\0", "zero byte"),
    ],
)
def test_text_is_utf_8_or_the_line_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_text(path)
    path.write_bytes("\ufeffé\r\n".encode())
    assert read_text(path) == "é\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[Infinity]",
        "-Infinity",
        '{"a": 1, "a": 2}',
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": 1} x',
        "'a'",
    ],
    ids=lambda text: text[:12] or "nothing",
)
def test_json_is_what_the_standard_says(text: str) -> None:
    with pytest.raises(InputError, match=r"^given is not JSON"):
        json_value(text, "given")


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("points: [8", "not YAML"),
        ("points: 8\npoints: 9", "'points' stands in it twice"),
        ("a: {b: 1, b: 2}", "'b' stands in it twice"),
        (LAUGHS, f"more than {MOST_NODES:,} values"),
        ("a: &a [*a]", "a part of"),
        ("!!python/object/apply:os.system [touch exploded]", "not YAML"),
        ("[" * 50_000, "nested too deep"),
        ("a: 2020-13-45", "not YAML"),
        ("--- a\n--- b", "not YAML"),
        ("points: \x01", "not YAML"),
    ],
    ids=lambda text: text[:12],
)
def test_yaml_says_one_thing_of_a_size_that_can_be_meant(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_yaml(path, "suite")
    path.write_text("\ufeffa: &a [1, 2]\r\nb: *a\r\n")
    assert read_yaml(path) == {"a": [1, 2], "b": [1, 2]}


@contextmanager
def failing(code: int) -> Iterator[None]:
    """What the system says of a write."""
    yield
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(code: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(OSError, match="file") as caught, atomic(path) as temporary, failing(code):
        temporary.write_bytes(b"ne")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    said = os_fault(caught.value)
    assert str(path) in said
    assert "\n" not in said
    with pytest.raises(OSError, match="file"), named(path), failing(code):
        pass


@pytest.mark.parametrize("code", [*errno.errorcode, None])
def test_whatever_the_system_refuses_has_a_line(code: int | None) -> None:
    assert os_fault(OSError(code, "words", "a/b")).startswith("cannot use 'a/b': ")
    assert os_fault(OSError()).startswith("cannot read or write a file: ")


def test_a_folder_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    def again() -> None:
        with locked(folder):
            raise AssertionError("it was taken twice")

    with locked(folder), pytest.raises(InputError, match=rf"^process {os.getpid()} on .* is writing .*new: wait"):
        again()
    assert list(folder.iterdir()) == []
    (folder / ".lock").write_text("process 1 on elsewhere\n")  # as a kill leaves it
    with locked(folder):
        assert f"process {os.getpid()} " in (folder / ".lock").read_text()
    assert list(folder.iterdir()) == []


def test_where_the_disk_knows_no_locks_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="without locks"), locked(tmp_path / "new"):
        pass
