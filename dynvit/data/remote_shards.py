"""The shards of a split at URLs, as they are read: one held at a time, the next one fetched meanwhile."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dynvit.data.fetching import held
from dynvit.data.held import Held
from dynvit.errors import InputError


@dataclass(frozen=True)
class RemoteShard:
    """Where a shard comes from; ``sha256`` is what a list says of it, empty where none does."""

    url: str
    sha256: str = ""

    def held(self, *, ahead: bool = False) -> Held:
        """The shard as a local file, fetched where it is not in the cache any more. Raises: as ``held``."""
        return held(self.url, self.sha256, ahead=ahead)


@dataclass(eq=False)
class RemoteShards:
    """Reads from shards by name; for one thread of each process.

    The shard that was read last stays held, so that it is not evicted between two images. While shards are read in the
    order of ``shards``, the next one is fetched.
    """

    shards: dict[str, RemoteShard]
    _open: dict[str, Held] = field(default_factory=dict, init=False, repr=False)
    _process: int = field(default=0, init=False, repr=False)
    _coming: threading.Thread | None = field(default=None, init=False, repr=False)

    def read(self, shard: str, size: int, offset: int) -> bytes:
        """So many bytes from ``offset`` on, fewer where the shard ends before.

        Raises: ``InputError`` where it cannot be fetched; ``OSError`` where it cannot be read.
        """
        if self._process != os.getpid() or shard not in self._open:
            self._turn_to(shard)
        return os.pread(self._open[shard].handle, size, offset)

    def _turn_to(self, shard: str) -> None:
        if self._process != os.getpid():  # a worker has handles and threads of its own
            self._process, self._coming = os.getpid(), None
        names = list(self.shards)
        place, before = names.index(shard), next(iter(self._open), None)
        while self._open:
            self._open.popitem()[1].close()
        self._open[shard] = self.shards[shard].held()
        if place + 1 < len(names) and before in (None, names[place - 1]):
            self._fetch_ahead(shard, self.shards[names[place + 1]])

    def _fetch_ahead(self, this: str, shard: RemoteShard) -> None:
        if self._coming is not None and self._coming.is_alive():
            return

        def run() -> None:
            with contextlib.suppress(InputError):  # said when its turn comes
                if this in self._open:  # small shards are read before the thread begins
                    shard.held(ahead=True).close()

        self._coming = threading.Thread(target=run, name=f"fetching {shard.url}", daemon=True)
        self._coming.start()

    def __getstate__(self) -> dict[str, object]:
        return {"shards": self.shards}

    def __setstate__(self, state: dict[str, dict[str, RemoteShard]]) -> None:
        self.__init__(state["shards"])  # type: ignore[misc]


def still_there(paths: dict[str, Path]) -> int:
    """How many of these files are in the cache still."""
    return sum(path.is_file() for path in paths.values())
