"""The files of a folder, a zip or a tar through one interface: names and bytes, nothing extracted, nothing unsaid."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from dynvit.data.listing import cut
from dynvit.data.tar_end import check_end
from dynvit.errors import InputError


class Reader(Protocol):
    """Reads a file: the whole, or its first ``size`` bytes."""

    def __call__(self, size: int = -1) -> bytes:
        """Raises: ``EOFError`` where the file ends before its size."""


Files = dict[str, Reader]
"""By relative path with forward slashes, sorted."""

LeftOut = dict[str, list[str]]
"""Names of what is not used, by kind."""

HIDDEN, DANGLING, SPECIAL = "hidden", "links to nothing", "pipes, sockets or devices"
BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, OSError)

_SYNSET_TAR = re.compile(r"(?:.*/)?n\d{8}\.tar")  # ImageNet's training images come as a tar of such tars


@dataclass
class Tree:
    """The files of a source, and what it has beside them, by kind."""

    files: Files = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=dict)

    def add(self, name: str, read: Reader, source: Path) -> None:
        """Add a file. Raises: ``InputError`` for a name that is there already, leads outside or is no text."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise InputError(f"{source}: member {cut(name)!r} leads outside the archive, which is unsafe")
        if hidden(path):
            self.leave_out(HIDDEN, name)
            return
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise InputError(f"{source}: the name {name!a} is not UTF-8: rename the file") from None
        if str(path) in self.files:
            raise InputError(
                f"{source} holds {cut(name)!r} twice, and only one can be meant: unpack it and pack the folder"
            )
        self.files[str(path)] = read

    def leave_out(self, kind: str, name: str) -> None:
        """Count what is not used."""
        self.left_out.setdefault(kind, []).append(name)


def hidden(path: PurePosixPath) -> bool:
    """Whether a path is of a file that systems leave behind: ``.DS_Store``, ``._a.jpg``, ``__MACOSX``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


@contextmanager
def open_tree(source: Path) -> Iterator[Tree]:
    """The files of a folder, a zip, or a tar (plain, gz, bz2, xz). Links in a folder are followed.

    Raises: ``InputError`` for any other or broken source, where a member's path leads outside, and for a link that
    leads back into itself.
    """
    tree = Tree()
    with ExitStack() as stack:
        try:
            if source.is_dir():
                _add_folder(tree, source)
            elif not source.is_file():
                raise InputError(f"no source {str(source)!r}: it must be a folder, a zip or a tar")
            elif zipfile.is_zipfile(source):
                _add_zip(tree, source, stack.enter_context(zipfile.ZipFile(source)))
            elif tarfile.is_tarfile(source):
                file = stack.enter_context(_plain_tar(source))
                _add_tar(tree, source, lambda: nullcontext(file))
            else:
                raise InputError(f"{source} must be a folder or a complete zip or tar: download it again")
        except BROKEN as error:
            raise broken(source, error) from error
        tree.files = dict(sorted(tree.files.items()))
        yield tree


def broken(source: Path, error: Exception) -> InputError:
    """The error for a source that cannot be read to its end."""
    return InputError(f"{source} is broken ({type(error).__name__}: {error}): fetch it again; nothing was written")


# -- folders -------------------------------------------------------------------------------------------------


def _add_folder(tree: Tree, source: Path, inside: str = "", above: tuple[tuple[int, int], ...] = ()) -> None:
    place = source / inside
    found = place.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise InputError(f"{place} is a link that leads back to a folder that it lies in: remove it")
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        name = f"{inside}{entry.name}"
        if hidden(PurePosixPath(entry.name)):
            tree.leave_out(HIDDEN, name)
        elif os.path.isdir(entry.path):
            _add_folder(tree, source, f"{name}/", (*above, here))
        elif os.path.isfile(entry.path):
            if _SYNSET_TAR.fullmatch(name):
                _add_tar(tree, source, _opener(entry.path), f"{name.removesuffix('.tar')}/")
            else:
                tree.add(name, _PathReader(entry.path), source)
        else:
            tree.leave_out(DANGLING if entry.is_symlink() else SPECIAL, name)


@dataclass(frozen=True, slots=True)
class _PathReader:
    path: str

    def __call__(self, size: int = -1) -> bytes:
        with open(self.path, "rb") as file:
            return file.read(size)


def _opener(path: str) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    return lambda: open(path, "rb")


# -- zips ----------------------------------------------------------------------------------------------------


def _add_zip(tree: Tree, source: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if members and min(member.header_offset for member in members) > 0:
        with source.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise InputError(f"{source} is more than one zip, joined: pack each, or unpack them into one folder")
    for member in members:
        if member.flag_bits & 1:
            raise InputError(f"member {cut(member.filename)!r} is encrypted: unpack the archive and pack the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"member {cut(member.filename)!r} is a link, not a file: pack an archive of files")
        if not member.is_dir():
            tree.add(member.filename, _ZipReader(archive, member), source)


@dataclass(frozen=True, slots=True)
class _ZipReader:
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo

    def __call__(self, size: int = -1) -> bytes:
        if size < 0:
            return self.archive.read(self.member)
        with self.archive.open(self.member) as file:
            return file.read(size)


# -- tars ----------------------------------------------------------------------------------------------------


def _add_tar(
    tree: Tree,
    source: Path,
    opened: Callable[[], AbstractContextManager[IO[bytes]]],
    inside: str = "",
    start: int = 0,
    size: int | None = None,
) -> None:
    """Add the members of a tar, and those of ImageNet's tars within it.

    Args:
        tree: what they are added to.
        source: for messages.
        opened: opens the file that the tar lies in.
        inside: the folder that its members are put into.
        start: where the tar begins in the file, in bytes.
        size: its length in bytes; None: to the end of the file.
    """
    within: list[tuple[str, int, int]] = []
    with opened() as file:
        end = file.seek(0, os.SEEK_END) if size is None else start + size
        file.seek(start)
        with tarfile.TarFile(fileobj=file, mode="r") as archive:
            for member in archive:
                name = f"{inside}{member.name.removeprefix('./')}"
                if member.offset_data + member.size > end:
                    raise EOFError(f"the archive ends inside {name}")
                if member.isdir():
                    continue
                if not member.isfile() or member.issparse():
                    raise InputError(
                        f"member {cut(name)!r} is a link or a device, not a file: pack an archive of files"
                    )
                if _SYNSET_TAR.fullmatch(name):
                    within.append((name.removesuffix(".tar"), member.offset_data, member.size))
                else:
                    tree.add(name, _TarReader(opened, member.offset_data, member.size, name), source)
            check_end(file, archive.offset, end, str(source) + (f", {inside.rstrip('/')}.tar" if inside else ""))
    for name, offset, length in within:
        _add_tar(tree, source, opened, f"{name}/", offset, length)


@dataclass(frozen=True, slots=True)
class _TarReader:
    opened: Callable[[], AbstractContextManager[IO[bytes]]]
    offset: int
    size: int
    name: str

    def __call__(self, size: int = -1) -> bytes:
        wanted = self.size if size < 0 else min(size, self.size)
        with self.opened() as file:
            file.seek(self.offset)
            content = file.read(wanted)
        if len(content) < wanted:
            raise EOFError(f"the archive ends inside {self.name}")
        return content


@contextmanager
def _plain_tar(source: Path) -> Iterator[IO[bytes]]:
    """The tar, decompressed first: images are read out of order, and a compressed stream would start over."""
    with source.open("rb") as file:
        magic = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(magic[:2])
    if opener is None:
        with source.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as plain:
        with opener(source, "rb") as stream:
            shutil.copyfileobj(stream, plain, 1 << 20)
        yield plain
