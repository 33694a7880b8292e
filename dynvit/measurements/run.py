"""What measurements run within: a session, the images of one split, the processes, and what records say of all that."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

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

    ``limit`` is the one that was asked for; ``command`` what records say made them. Units: ``memory_mb`` MiB of decoded
    pixels a process.
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
    environment: Environment = field(init=False)
    git_sha: str | None = field(init=False)
    _pixels: dict[tuple[Preprocessing, str], PixelBatches] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, session: Session, source: ImageSource, folder: Path, command: str, **more: Any) -> Run:
        """A run on the processes that there are; ``more`` are the other fields."""
        return cls(session, source, folder, process_state(session.request.device), command, **more)

    def __post_init__(self) -> None:
        object.__setattr__(self, "environment", capture(device_name(self.device), self.state.num_processes))
        object.__setattr__(self, "git_sha", git_sha())

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.state.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.state.is_main_process

    @property
    def split(self) -> str:
        """The split's name."""
        return self.source.split

    def batches(self, preprocessing: Preprocessing, source: ImageSource | None = None) -> PixelBatches:
        """This process's images; models that want them alike share the decoded pixels."""
        source = source or self.source
        key = preprocessing, source.manifest.sha256
        if key not in self._pixels:
            self._pixels[key] = PixelBatches(
                source,
                preprocessing,
                batch_size=self.batch_size,
                workers=self.workers,
                memory_mb=self.memory_mb,
                rank=self.state.process_index,
                world=self.state.num_processes,
            )
        return self._pixels[key]

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
