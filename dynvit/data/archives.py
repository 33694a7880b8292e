"""The files of a folder, a zip or a tar through one interface: names and bytes, nothing extracted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dynvit.errors import InputError

Files = dict[str, Callable[[], bytes]]
"""By relative path with forward slashes, sorted; each value reads the file."""

BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, OSError)


@contextmanager
def open_tree(source: Path) -> Iterator[Files]:
    """The files of a folder, a zip, or a tar (plain, gz, bz2, xz). Hidden files are left out.

    Raises: ``InputError`` for any other or broken source, and where a member's path leads outside.
    """
    with ExitStack() as stack:
        try:
            if source.is_dir():
                files = _folder(source)
            elif not source.is_file():
                raise InputError(f"no source {str(source)!r}: it must be a folder, a zip or a tar")
            elif zipfile.is_zipfile(source):
                files = _zip(stack.enter_context(zipfile.ZipFile(source)))
            elif tarfile.is_tarfile(source):
                files = _tar(stack.enter_context(_plain_tar(source)))
            else:
                raise InputError(f"{source} must be a folder or a complete zip or tar: download it again")
        except BROKEN as error:
            raise broken(source, error) from error
        yield {name: files[name] for name in sorted(files) if _visible(name, source)}


def broken(source: Path, error: Exception) -> InputError:
    """The error for a source that cannot be read to its end."""
    return InputError(f"{source} is broken ({type(error).__name__}: {error}): fetch it again; nothing was written")


def _folder(source: Path) -> Files:
    return {path.relative_to(source).as_posix(): path.read_bytes for path in source.rglob("*") if path.is_file()}


def _zip(archive: zipfile.ZipFile) -> Files:
    def reader(member: zipfile.ZipInfo) -> Callable[[], bytes]:
        return lambda: archive.read(member)

    if locked := [m.filename for m in archive.infolist() if m.flag_bits & 1]:
        raise InputError(f"member {locked[0]!r} is encrypted: unpack the archive yourself and pack the folder")
    return {member.filename: reader(member) for member in archive.infolist() if not member.is_dir()}


def _tar(archive: tarfile.TarFile) -> Files:
    def reader(member: tarfile.TarInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            file = archive.extractfile(member)
            content = file.read() if file else b""
            if len(content) < member.size:
                raise EOFError(f"the archive ends inside {member.name}")
            return content

        return read

    members = [member for member in archive if not member.isdir()]
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if len(archive.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise EOFError("no end-of-archive mark")  # tarfile takes a cut between two members for an end
    if odd := [member.name for member in members if not member.isfile()]:
        raise InputError(f"member {odd[0]!r} is a link or a device, not a file: pack an archive of files")
    return {member.name.removeprefix("./"): reader(member) for member in members}


@contextmanager
def _plain_tar(source: Path) -> Iterator[tarfile.TarFile]:
    """The tar, decompressed first: images are read out of order, and a compressed stream would start over."""
    with source.open("rb") as file:
        magic = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(magic[:2])
    if opener is None:
        with tarfile.open(source, "r:") as archive:
            yield archive
        return
    with tempfile.TemporaryFile() as plain:
        with opener(source, "rb") as stream:
            shutil.copyfileobj(stream, plain, 1 << 20)
        plain.seek(0)
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            yield archive


def _visible(name: str, source: Path) -> bool:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise InputError(f"{source}: member {name!r} leads outside the archive, which is unsafe")
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
