"""What measurements run within: a session, the images of one split, the processes, and what records say of all that."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from dynvit.data.kept import DiskAllowance
from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.environment import Environment, capture
from dynvit.leaderboard.record import Role
from dynvit.processes import process_state
from dynvit.session import Session


@dataclass(frozen=True)
class Run:
    """One split under measurement. Every process measures its share of the batches; the first one writes.

    ``limit`` is the one that was asked for; ``command`` what records say made them; ``placed`` the device, where it is
    not the one of ``state``; ``alone``, whether this process takes all batches, and no other any. Units: ``memory_mb``
    and ``disk_mb`` MiB of decoded pixels a process.
    """

    session: Session
    source: ImageSource
    folder: Path
    state: PartialState
    command: str
    role: Role = "report"
    limit: int | None = None
    search_seed: int | None = None
    batch_size: int = 64
    workers: int = 0
    memory_mb: int = 4096
    disk_mb: int = 0
    placed: torch.device | None = None
    alone: bool = False
    disk: DiskAllowance = field(init=False, repr=False)
    environment: Environment = field(init=False)
    git_sha: str | None = field(init=False)
    _pixels: dict[tuple[Preprocessing, str], PixelBatches] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, session: Session, source: ImageSource, folder: Path, command: str, **more: Any) -> Run:
        """A run on the processes that there are; ``more`` are the other fields.

        One process runs on the device that is asked for; of several each has its own.
        """
        state = process_state(session.request.device)
        more = {"placed": session.device if state.num_processes == 1 else None, **more}
        return cls(session, source, folder, state, command, **more)

    def __post_init__(self) -> None:
        object.__setattr__(self, "disk", DiskAllowance(self.disk_mb))
        object.__setattr__(self, "environment", capture(device_name(self.device), self.world))
        object.__setattr__(self, "git_sha", git_sha())

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.state.device if self.placed is None else self.placed

    @property
    def world(self) -> int:
        """The number of processes that share the images."""
        return 1 if self.alone else self.state.num_processes

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.state.is_main_process

    @property
    def split(self) -> str:
        """The split's name."""
        return self.source.split

    def batches(
        self, preprocessing: Preprocessing, source: ImageSource | None = None, *, memory_mb: int | None = None
    ) -> PixelBatches:
        """This process's images; models that want them alike share the decoded pixels.

        ``memory_mb`` is what is kept of them where they are asked for the first time; default: the run's.
        """
        source = source or self.source
        key = preprocessing, source.manifest.sha256
        if key not in self._pixels:
            self._pixels[key] = self.own_batches(preprocessing, source, memory_mb=memory_mb)
        return self._pixels[key]

    def own_batches(
        self, preprocessing: Preprocessing, source: ImageSource, *, memory_mb: int | None = None
    ) -> PixelBatches:
        """The same for the caller only: decoded pixels go when it lets go of them."""
        return PixelBatches(
            source,
            preprocessing,
            batch_size=self.batch_size,
            workers=self.workers,
            memory_mb=self.memory_mb if memory_mb is None else memory_mb,
            disk=self.disk,
            rank=0 if self.alone else self.state.process_index,
            world=self.world,
        )

    def by_itself(self) -> Run:
        """The same where one process measures all images: with one process this very run."""
        return self if self.world == 1 else replace(self, alone=True)

    def forget_pixels(self) -> None:
        """Give the memory of decoded images back: they are not asked for again."""
        self._pixels.clear()


def device_name(device: torch.device) -> str:
    """What an environment says of the device: an accelerator's model, else its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def device_model(device: torch.device) -> str:
    """What a timing says it ran on: a processor's model, an accelerator's."""
    return (capture().cpu or "cpu") if device.type == "cpu" else device_name(device)


def git_sha() -> str | None:
    """The commit of the checkout that runs; None for an installed package, or a checkout with changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        return None if _git(root, "status", "--porcelain", "--untracked-files=no") else _git(root, "rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
