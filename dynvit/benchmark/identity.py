"""What must not change between two runs into one folder: everything that a record depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dynvit.backbones.build import BackboneInfo
from dynvit.benchmark.config import TRAINED, BenchConfig
from dynvit.benchmark.folder import CONFIG, IMAGES, SEARCH_BATCH, TRIALS, check_folder, claim_folder, is_claimed
from dynvit.checkpoint import WEIGHTS
from dynvit.cost import rules
from dynvit.data import ImageSource
from dynvit.errors import InputError
from dynvit.files import HeldError, locked, sha256_of
from dynvit.interface import methods
from dynvit.leaderboard.record import BackboneRecord, CheckpointRecord
from dynvit.leaderboard.store import RUNS, RunStore
from dynvit.measurements.base import measurements
from dynvit.reading import read_json
from dynvit.session import PRETRAINED, OpenModel, Session
from dynvit.training.request import RunOptions

PATIENCE_S = 60.0
"""How long a process waits for another that begins the same folder."""
_FREE = {
    "output",
    "workers",
    "memory_mb",
    "disk_mb",
    "device",
    "data_dir",
    "plugin",
    "measurements",
    "storage",
    *RunOptions.model_fields,
}


def identity(config: BenchConfig, session: Session) -> dict[str, Any]:
    """The configuration as it was given, with the data set and the data seed that came of it.

    Follow-up measurements may be added to any run, and are no part of it; a search that looks at one is another search.
    """
    found: dict[str, Any] = config.model_dump(mode="json", exclude=_FREE)
    found |= {"dataset": session.dataset.name, "data_seed": session.data_seed}
    if config.sampler != "tpe" or config.search_batch == 1:  # no other search depends on it
        del found[SEARCH_BATCH]
    found |= {"plugin": _plugins(config)}
    found |= {"contents": _contents(config)}
    if config.sampler != "budgets":
        for name, settings in config.measurements.items():
            found |= measurements.get(name)(settings).measurer.search_identity()
    return found


def _plugins(config: BenchConfig) -> dict[str, str]:
    """The one-file methods that are benched, the counting rule, and what a search looks at, by version.

    Another file may come and go.
    """
    used = [origin for name in config.methods for origin in methods.origins(name)[:1]] + rules.origins(config.rule)[:1]
    if config.sampler != "budgets":
        looked_at = (name for name in config.measurements if measurements.get(name).searchable)
        used += [measurements.origins(name)[0] for name in looked_at]
    files = {str(Path(file).resolve()) for file in config.plugin}
    return {Path(origin.distribution).name: origin.version for origin in used if origin.distribution in files}


def _with_images(config: BenchConfig, session: Session, source: ImageSource) -> dict[str, Any]:
    """The identity and the reported images by what they are, not by where they lie: data may move.

    Of the folder alone: what is kept of a search or a cell is named by ``identity``, and an earlier dynvit's stays so.
    """
    return identity(config, session) | {IMAGES: source.manifest.sha256[:16]}


def check(config: BenchConfig, session: Session, source: ImageSource) -> Path:
    """The output folder. Raises: ``InputError`` where it is another configuration's, or of other images."""
    folder = folder_of(config, session)
    check_folder(folder, _with_images(config, session, source))
    return folder


@contextmanager
def claimed(
    folder: Path,
    config: BenchConfig,
    session: Session,
    source: ImageSource,
    patience_s: float = 0,
    waits: Callable[[HeldError], object] | None = None,
) -> Iterator[None]:
    """The folder for this configuration, and for this process alone as long as the block runs.

    Args:
        folder: of the results.
        config: of the bench.
        session: that it opens its models in.
        source: the images that it reports on.
        patience_s: seconds to wait for another process.
        waits: is told once that there is one.

    Raises: as ``check``, and ``InputError`` where another process writes into it.
    """
    found = _with_images(config, session, source)
    check_folder(folder, found)
    with locked(folder, patience_s, waits):
        claim_folder(folder, found)
        yield


def claim_shared(folder: Path, config: BenchConfig, session: Session, source: ImageSource) -> None:
    """The folder for this configuration, and for any process that has the same.

    Raises: as ``check``.
    """
    found = _with_images(config, session, source)
    if not is_claimed(folder, found):
        check_folder(folder, found)
        with locked(folder, PATIENCE_S):
            claim_folder(folder, found)
    check_folder(folder, found)


def trials_begun(folder: Path, config: BenchConfig) -> int:
    """How many trials the search in a folder was begun with, or is; more are asked for where it is continued."""
    file = folder / CONFIG
    return int(read_json(file).get(TRIALS, config.trials)) if file.is_file() else config.trials


def folder_of(config: BenchConfig, session: Session) -> Path:
    """Where everything goes: asked for, else named after data set and backbone."""
    default = f"runs/{session.dataset.name}-{session.backbone.name}"
    return Path(config.output or default)


def _contents(config: BenchConfig) -> dict[str, str]:
    """Weights and checkpoints that lie here, by hash: what is trained again under the same name is another."""
    given = [config.weights, *config.checkpoints]
    files = {
        path: Path(path, WEIGHTS) if Path(path).is_dir() else Path(path)
        for path in given
        if path and path != PRETRAINED
    }
    return {path: sha256_of(file)[:16] for path, file in files.items() if file.is_file()}


def check_records(folder: Path, models: Sequence[OpenModel]) -> None:
    """Hold a folder's records to the trainings that are open: one board does not mix those of an earlier one with them.

    Raises: ``InputError`` where a record names other weights by the place of a training; the records stay.
    """
    now = {uri: sha256 for one in models for uri, sha256 in _weights(one.checkpoint, one.backbone)}
    earlier = [
        (uri, sha256, now[uri])
        for record in RunStore(folder / RUNS).read()
        for uri, sha256 in _weights(record.checkpoint, record.backbone)
        if now.get(uri, sha256) != sha256
    ]
    if earlier:
        uri, was, made = earlier[0]
        raise InputError(
            f"{folder / RUNS} holds results of an earlier training: {uri} was {was[:12]} and is {made[:12]}; put the "
            f"weights of then back, or move {TRAINED}/ into a new folder and give that with --output"
        )


def _weights(checkpoint: CheckpointRecord | None, backbone: BackboneInfo | BackboneRecord) -> Iterator[tuple[str, str]]:
    """The weights that lie in a bench's training folder: where, and their hash."""
    named = [(backbone.weights_uri, backbone.weights_sha256)]
    named += [(checkpoint.uri, checkpoint.sha256)] if checkpoint else []
    for uri, sha256 in named:
        if uri is not None and sha256 is not None and uri.startswith(f"{TRAINED}/"):
            yield uri, sha256
