"""Append-only files of finished measurements: one JSON object a line, flushed, synced, healed after a kill."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Self, TypeVar

import jsonlines
from pydantic import BaseModel, ValidationError

from dynvit.errors import InputError, first_fault, lacks
from dynvit.files import lock, named
from dynvit.leaderboard.digest import KEY, digest, is_edited
from dynvit.reading import check_regular, read_bytes

LineT = TypeVar("LineT", bound=BaseModel)
CURRENT = 2
"""The version of lines that need no upgrade."""


def text_of(line: BaseModel) -> bytes:
    """A line as it is written, with its digest and without a newline."""
    text = line.model_dump_json()
    return f'{text[:-1]},"{KEY}":"{digest(json.loads(text))}"}}'.encode()


@dataclass(frozen=True)
class _Parsed(Generic[LineT]):
    """A line, or None where it belongs into another file: jsonlines takes a bare None for an empty line."""

    line: LineT | None


class LineStore(Generic[LineT]):
    """Measurements in one file. A kill at any moment costs at most the line being written, and no other.

    As a context manager it takes the file for writing at once, so that a second bench in the folder is
    refused before it measures anything; otherwise the first ``append`` takes it. Reading takes nothing.

    The same key twice is the same measurement made again: the later line stands, in the place of the first.
    Nothing is ever rewritten for it. ``model`` is what a line is; ``named`` the field that names its measurement;
    ``upgrade`` turns a line of an older version into one of today's, or into None where it belongs elsewhere now;
    without ``current`` only what it upgrades is read.

    Raises: ``InputError`` where another process writes here, or a line (named by number) is no such model.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: type[LineT],
        named: str = "key",
        upgrade: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
        *,
        current: bool = True,
    ) -> None:
        self.path = Path(path)
        self.model, self.named, self.upgrade, self.current = model, named, upgrade, current
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def key(self, line: LineT) -> str:
        """What names the measurement of a line."""
        return str(getattr(line, self.named))

    def append(self, line: LineT) -> None:
        """Add a line; when this returns it is on the disk."""
        file, written = self._open(), text_of(line)
        try:
            with named(self.path):
                file.write(written + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._check_place(file)
        except BaseException:
            # A full disk or an interrupt may leave half a line; opening the file again cuts it off.
            self.close()
            raise

    def _check_place(self, file: BinaryIO) -> None:
        """What is written to a file that was removed is gone with it, and no write fails."""
        try:
            if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                return
        except OSError:
            pass
        raise InputError(
            f"{self.path} is gone, or another file is there, since writing to it began: see to its disk and run the "
            "same command again, which goes on from what it finds"
        )

    def read(self) -> list[LineT]:
        """Every measurement, in the order of its first line; none where there is no file yet."""
        return list({self.key(line): line for _, line in self.numbered()}.values())

    def numbered(self) -> list[tuple[int, LineT]]:
        """Every line with its number, those too that a later one replaces."""
        whole, torn = self._split()
        if torn:
            warnings.warn(f"{self.path.name}: dropped a torn last line of {len(torn)} bytes", stacklevel=3)
        found: list[tuple[int, LineT]] = []
        texts = whole.splitlines()
        numbers = (number for number, text in enumerate(texts, 1) if text.rstrip())  # as the reader skips lines
        with jsonlines.Reader(texts, loads=self._parse) as lines:
            try:
                for number, parsed in zip(numbers, lines.iter(skip_empty=True), strict=True):
                    if parsed.line is not None:
                        found.append((number, parsed.line))
            except jsonlines.InvalidLineError as error:
                cause = error.__cause__
                what = first_fault(cause) if isinstance(cause, ValidationError) else str(cause or error.message)
                raise InputError(
                    f"{self.path} line {error.lineno} is not a record: {what}; "
                    "restore the file from a copy or take that line out"
                ) from error
        return found

    def texts(self) -> dict[int, bytes]:
        """Every line as it stands in the file, by its number."""
        return {number: text for number, text in enumerate(self._split()[0].splitlines(), 1) if text.strip()}

    def edited(self) -> set[int]:
        """The numbers of the lines that were changed after they were written. Raises: as ``numbered``."""
        return {number for number, text in self.texts().items() if is_edited(json.loads(text))}

    def find(self, key: str) -> LineT | None:
        """The measurement of this key, or ``None`` where it was not made yet."""
        return next((line for line in self.read() if self.key(line) == key), None)

    def close(self) -> None:
        """Let another process write."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _parse(self, text: str | bytes) -> _Parsed[LineT]:
        if self.upgrade is None:
            return _Parsed(self.model.model_validate_json(text))
        try:
            line = json.loads(text)
        except RecursionError:
            raise ValueError("its brackets are nested too deep") from None
        version = line.get("schema_version", 1) if isinstance(line, dict) else CURRENT
        if version not in (1, CURRENT) or isinstance(version, bool):
            raise ValueError(f"schema_version must be 1 or {CURRENT}, got {version!r}: does a newer dynvit read it?")
        if version != CURRENT:
            try:
                upgraded = self.upgrade(line)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"no line of version 1: {lacks(error)}") from error
            return _Parsed(None if upgraded is None else self.model.model_validate_json(json.dumps(upgraded)))
        return _Parsed(self.model.model_validate_json(text) if self.current else None)

    def _open(self) -> BinaryIO:
        if self._file is not None:
            return self._file
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        if not new:
            check_regular(self.path)  # a pipe would be waited for
        file = self.path.open("ab")
        try:
            lock(file, self.path)
            self._heal(file)
            if new:
                _sync_folder(self.path.parent)
        except BaseException:
            file.close()
            raise
        self._file = file
        return file

    def _split(self) -> tuple[bytes, bytes]:
        """The whole lines, and the torn last one (empty: there is none).

        A last line without its newline is torn unless it is a measurement all the same: an editor may have eaten
        the newline, while half a JSON object is never valid.
        """
        if not self.path.exists():
            return b"", b""
        content = read_bytes(self.path)
        end = content.rfind(b"\n") + 1
        last = content[end:]
        try:
            json.loads(last)
        except ValueError:
            return content[:end], last
        except RecursionError:
            pass  # no record, and not torn
        return content, b""

    def _heal(self, file: BinaryIO) -> None:
        """Make the next append begin on a line of its own."""
        whole, torn = self._split()
        if torn:
            warnings.warn(f"{self.path.name}: cut off a torn last line of {len(torn)} bytes", stacklevel=4)
            file.truncate(len(whole))
        elif whole and not whole.endswith(b"\n"):
            file.write(b"\n")
            file.flush()


class UnwrittenLines(LineStore[LineT]):
    """Measurements that nobody wants to keep."""

    def __init__(self, model: type[LineT], named: str = "key") -> None:
        super().__init__(os.devnull, model, named)

    def __enter__(self) -> Self:
        return self

    def append(self, line: LineT) -> None:
        """Nothing is written."""

    def numbered(self) -> list[tuple[int, LineT]]:
        """Nothing is known."""
        return []


def _sync_folder(folder: Path) -> None:
    # Without this a power cut may lose the new file's name, and every synced line with it.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
