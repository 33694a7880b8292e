"""The files of a data set at a URL: fetched once, kept only where they are what their names say."""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from dynvit.data.held import Held, Place
from dynvit.data.manifest import INFO, read_info
from dynvit.data.space import NoSpaceError, Space
from dynvit.downloads import Check, download, from_hub, no_web_page, stored_sha256
from dynvit.errors import InputError

T = TypeVar("T")
WAYS = (
    "make shards from the files you have with `dynvit data pack SRC DST`, "
    "or give a URL such as --data-dir hf://datasets/timm/imagenet-1k-wds"
)
_ADVICE = f"check the address and the network, or {WAYS}"
_LISTED = f"; where the set was packed anew, the kept {INFO} is of the old one: delete it in the cache"
# The last file that a URL, or a command, names.
_FILE = re.compile(r"[^/\s?#'\"]+\.(?:tar|json|txt)(?=$|[\s?#'\"])")


def fetch(url: str) -> Path:
    """The file behind ``url``, for one that nobody evicts: all but shards. Raises: as ``held``."""
    with held(url) as file:
        return file.path


def held(url: str, sha256: str = "", *, ahead: bool = False) -> Held:
    """The file behind ``url``, fetched once: a killed fetch leaves no half file under the final name.

    ``sha256`` is what a list says of it; another listing is another file. ``ahead`` of its being asked for, it makes no
    space that is in use.

    A shard must be a whole tar, ``_info.json`` what it says, any other file no web page: so a login page that a server
    answers in their place is never kept, and one that an older version kept is fetched again.

    ``hf://datasets/OWNER/REPO[@REVISION]/PATH`` goes through huggingface_hub (its cache, its token), all else
    as ``download`` does.

    Raises: ``InputError`` where it cannot be fetched, or nothing can be kept. ``NoSpaceError`` only ``ahead``.
    """
    found = _FILE.findall(url)
    name = found[-1] if found else re.sub(r"\W+", "_", url.rpartition("/")[2])
    check = _check_of(name, url)
    if url.startswith("hf://"):
        return _from_hub(url, check, sha256)
    listed = f"{url}\n{sha256}" if sha256 else url
    advice = f"{_ADVICE}{_LISTED if sha256 else ''}"

    def get(into: Path, space: Space) -> None:
        download(url, into, name=name, check=check, advice=advice, sha256=sha256, space=space)

    place = Place(hashlib.sha256(listed.encode()).hexdigest()[:16], name)
    return place.held(get, lambda path: _passes(path, check), ahead=ahead)


def in_order(get: Callable[[str, bool], T], names: Sequence[str]) -> Iterator[T]:
    """What ``get`` gives for each name, in order; the next one is fetched while its predecessor is worked on.

    ``get`` is told whether the name is asked for ahead; where there is no space yet, it is asked again in its turn.

    Raises: as ``get``, when the name's turn comes.
    """
    coming = [_begun(get, name) for name in names[:1]]
    for name, following in zip_longest(names, names[1:]):
        try:
            found = coming.pop().result()
        except NoSpaceError:
            found = get(name, False)
        if following is not None:
            coming.append(_begun(get, following))
        yield found


def _begun(get: Callable[[str, bool], T], name: str) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(get(name, True))
        except BaseException as error:
            future.set_exception(error)

    # Not a pool's, which who stops the program would have to wait for, as long as a shard takes.
    threading.Thread(target=run, name=f"fetching {name}", daemon=True).start()
    return future


def whole_tar(path: Path) -> None:
    """Refuses what does not begin as a tar and end as one. A ``Check``."""
    no_web_page(path)
    with path.open("rb") as file:
        begin = file.read(tarfile.BLOCKSIZE)
        file.seek(max(path.stat().st_size - tarfile.BLOCKSIZE, 0))
        end = file.read()
    try:
        tarfile.TarInfo.frombuf(begin, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError as error:
        raise ValueError("is no tar") from error
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise ValueError("is a tar without its end")


def _check_of(name: str, url: str) -> Check:
    if name.endswith(".tar"):
        return whole_tar
    if name != INFO:
        return no_web_page

    def check(path: Path) -> None:
        no_web_page(path)
        read_info(path.read_bytes(), url)

    return check


def _passes(path: Path, check: Check) -> bool:
    try:
        check(path)
    except (ValueError, OSError, InputError):
        return False
    return True


def _from_hub(url: str, check: Check, sha256: str) -> Held:
    match = re.fullmatch(r"hf://datasets/([^/]+/[^/@]+)(?:@([^/]+))?/(.+)", url)
    if match is None:
        raise InputError(f"{url!r} is not hf://datasets/OWNER/REPO[@REVISION]/PATH")
    repo, revision, path = match.groups()
    advice = f"gated sets need `hf auth login` first; or {WAYS}"

    def listed(file: Path) -> None:
        check(file)
        if sha256 and sha256 != stored_sha256(file.resolve()):
            raise ValueError("has another SHA-256 than it is listed with")

    return Held(from_hub(repo, path, check=listed, advice=advice, repo_type="dataset", revision=revision))
