"""What ``dynvit data`` is told, declared as every other setting is."""

from __future__ import annotations

from dynvit.settings import Settings, setting


class PackSettings(Settings):
    """Of ``dynvit data pack``."""

    shard_size: int = setting(2000, help="Samples a shard. Default: 2000", metavar="N", ge=1, le=10_000_000)


class CheckSettings(Settings):
    """Of ``dynvit data check``."""

    workers: int = setting(2, help="Threads that decode. Default: 2", metavar="N", ge=0, le=1024)
