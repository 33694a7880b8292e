"""The files of a data set at a URL: fetched once, kept only where they are what their names say."""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from dynvit.cache import kept, place_for
from dynvit.data.manifest import INFO, read_info
from dynvit.downloads import Check, download, from_hub, no_web_page
from dynvit.errors import InputError
from dynvit.files import atomic

WAYS = (
    "make shards from the files you have with `dynvit data pack SRC DST`, "
    "or give a URL such as --data-dir hf://datasets/timm/imagenet-1k-wds"
)
_ADVICE = f"check the address and the network, or {WAYS}"
# The last file that a URL, or a command, names.
_FILE = re.compile(r"[^/\s?#'\"]+\.(?:tar|json|txt)(?=$|[\s?#'\"])")


def fetch(url: str) -> Path:
    """The file behind ``url``, fetched once: a killed fetch leaves no half file under the final name.

    A shard must be a whole tar, ``_info.json`` what it says, any other file no web page: so a login page that a server
    answers in their place is never kept, and one that an older version kept is fetched again.

    ``hf://datasets/OWNER/REPO[@REVISION]/PATH`` goes through huggingface_hub (its cache, its token), all else
    is opened as WebDataset does: http and https, ``pipe:`` and the storages that have a command.

    Raises: ``InputError`` where it cannot be fetched, or nothing can be kept.
    """
    found = _FILE.findall(url)
    name = found[-1] if found else re.sub(r"\W+", "_", url.rpartition("/")[2])
    check = _check_of(name, url)
    if url.startswith("hf://"):
        return _from_hub(url, check)
    parts = "shards", hashlib.sha256(url.encode()).hexdigest()[:16], name
    if (known := kept(*parts)) is not None and _passes(known, check):
        return known
    target = place_for(*parts)
    with atomic(target) as temporary:
        download(url, temporary, name=name, check=check, advice=_ADVICE)
    return target


def ahead(get: Callable[[str], Path], names: Sequence[str]) -> Iterator[Path]:
    """What ``get`` gives for each name, in order; the next one is fetched while its predecessor is worked on.

    Raises: as ``get``, when the name's turn comes.
    """
    coming = [_begun(get, name) for name in names[:1]]
    for following in [*range(1, len(names)), None] if names else []:
        found = coming.pop().result()
        if following is not None:
            coming.append(_begun(get, names[following]))
        yield found


def _begun(get: Callable[[str], Path], name: str) -> Future[Path]:
    future: Future[Path] = Future()

    def run() -> None:
        try:
            future.set_result(get(name))
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


def _from_hub(url: str, check: Check) -> Path:
    match = re.fullmatch(r"hf://datasets/([^/]+/[^/@]+)(?:@([^/]+))?/(.+)", url)
    if match is None:
        raise InputError(f"{url!r} is not hf://datasets/OWNER/REPO[@REVISION]/PATH")
    repo, revision, path = match.groups()
    advice = f"gated sets need `hf auth login` first; or {WAYS}"
    return from_hub(repo, path, check=check, advice=advice, repo_type="dataset", revision=revision)
