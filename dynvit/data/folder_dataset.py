"""A packed folder is a data set: its classes, their names and the native size are read from its files."""

from __future__ import annotations

import contextlib
import os
import tarfile
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from dynvit.data.datasets import DatasetSpec, datasets
from dynvit.data.fetching import fetch
from dynvit.data.hints import missing_path, no_classes, not_packed, unknown_name
from dynvit.data.image_kinds import IMAGE_KEYS
from dynvit.data.images import UndecodableError, image_size
from dynvit.data.locate import Location, is_remote, locate, packed_folders, shards_in
from dynvit.data.manifest import CLASS_NAMES, Manifest, read_class_names
from dynvit.data.split_names import VALIDATION
from dynvit.errors import InputError

LARGE = 224
"""The edge that papers evaluate at, for sets of large images or of many sizes. Units: pixels."""
_SMALL = 64  # up to here square images have a native edge
_LOOKED_AT = 8  # images


def find_dataset(name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None) -> DatasetSpec:
    """A data set by its registered name, by the path of a packed folder, or by any name for one in ``data_dir``.

    A registered name comes first; ``./digits`` is the folder. Another name is looked for in ``data_dir`` (the folder,
    the folder above it, or a URL) where that is given, else in the working directory, then in ``$DYNVIT_DATA``.

    Raises: ``InputError`` where there is none: with the nearest names, with what was looked for in a folder, and with
    the command that packs it where it holds images; for a ``data_dir`` of a set that is read from no folder.
    """
    name = os.fspath(name)
    if not name or name in datasets.names():
        return read_from(datasets.get(name), data_dir)
    if is_remote(name):
        raise InputError(f"data set {name!r} is a URL: give it as --data-dir, and as --dataset what to call it")
    if os.sep in name or name in (os.curdir, os.pardir):
        folder = os.path.abspath(name)
        return folder_dataset(os.path.basename(folder), _at_path(name, folder, data_dir))
    return folder_dataset(name, _by_name(name, data_dir))


def read_from(spec: DatasetSpec, data_dir: str | os.PathLike[str] | None) -> DatasetSpec:
    """The data set itself. Raises: ``InputError`` for a folder of one that comes with an installed package."""
    if spec.embedded is not None and data_dir is not None:
        raise InputError(
            f"{spec.name} comes with an installed package and is read from no folder, got --data-dir "
            f"{os.fspath(data_dir)}: leave out --data-dir, or give --dataset"
        )
    return spec


def folder_dataset(name: str, location: Location) -> DatasetSpec:
    """The data set that lies there.

    Raises: ``InputError`` where no file tells its classes, or the one that does is broken.
    """
    names, folder = _class_names(location), location.folder
    counts = {split.name: split.num_samples for split in location.splits.values()}
    splits = ", ".join(name if count is None else f"{name} {count:,}" for name, count in counts.items())
    return DatasetSpec(
        name=name,
        num_classes=len(names) or _classes_of_labels(name, location),
        image_size=native_edge(location),
        description=f"a packed folder: {splits}",
        class_names=names,
        folder=location.base if folder is None else os.path.abspath(folder),
    )


def folder_datasets() -> Iterator[DatasetSpec]:
    """The packed folders in ``$DYNVIT_DATA`` that are no registered data set; a broken one is named in a warning."""
    root = os.environ.get("DYNVIT_DATA")
    for folder in packed_folders(Path(root)) if root and not is_remote(root) else ():
        if folder.name not in datasets.names():
            try:
                yield find_dataset(str(folder))
            except InputError as error:
                warnings.warn(str(error), stacklevel=2)


def native_edge(location: Location) -> int:
    """The edge of the first images where all are small squares, else ``LARGE``. Units: pixels.

    Of several small edges it is the largest. Raises: ``InputError`` where the first shard is missing.
    """
    # Validation first: where shards are remote, that one is fetched anyway.
    splits = sorted(location.splits.items(), key=lambda item: item[0] != VALIDATION)
    first = next((split.filenames[0] for _, split in splits if split.filenames), None)
    sizes: set[tuple[int, int]] = set()
    if first:
        with location.shard(first) as shard:
            sizes = set(islice(_sizes(shard.path), _LOOKED_AT))
    small = all(width == height <= _SMALL for width, height in sizes)
    return max(width for width, _ in sizes) if sizes and small else LARGE


def _sizes(shard: Path) -> Iterator[tuple[int, int]]:
    """Width and height of a shard's images. What is broken is named when the split is opened."""
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                extension = member.name.rpartition("/")[2].partition(".")[2].lower()
                if extension in IMAGE_KEYS and (file := tar.extractfile(member)):
                    with contextlib.suppress(UndecodableError):
                        yield image_size(file.read())
    except (tarfile.TarError, EOFError):
        return


def _at_path(path: str, folder: str, data_dir: str | os.PathLike[str] | None) -> Location:
    """``folder`` is the whole path."""
    found = _first([Path(path)])
    if found is None:
        raise not_packed([Path(path)]) if Path(path).exists() else missing_path(path)
    if data_dir is not None:
        # Whoever opens the set with this --data-dir must get the same shards.
        other = None if is_remote(data_dir) else _first([Path(data_dir), Path(data_dir) / Path(folder).name])
        if other is None or os.path.abspath(other.base) != folder:
            raise InputError(f"data set {path} is a folder, and --data-dir {data_dir} is another: give one of them")
    return found


def _by_name(name: str, data_dir: str | os.PathLike[str] | None) -> Location:
    given = data_dir is not None
    root = data_dir if given else os.environ.get("DYNVIT_DATA")
    places = [] if given else [Path(name)]
    if root and not is_remote(root):
        places += [Path(root), Path(root) / name] if given else [Path(root) / name]
    if found := _first(places):
        return found
    if root and is_remote(root):
        return locate(name, data_dir)
    if not given and not any(place.exists() for place in places):
        raise unknown_name(name)
    raise not_packed(places[::-1] if given else places)


def _first(places: Iterable[Path]) -> Location | None:
    return next((found for place in places if (found := shards_in(place))), None)


def packed_class_names(location: Location) -> tuple[str, ...]:
    """The names in the ``classnames.txt`` beside shards, by label; empty where there is none.

    Raises: ``InputError`` where it is broken.
    """
    if location.folder is not None:
        path = location.folder / CLASS_NAMES
        return read_class_names(path) if path.is_file() else ()
    if location.base.startswith("pipe:"):
        return ()  # a command, of which nothing tells what else it would give
    try:
        file = fetch(_names_url(location))
    except InputError:
        return ()
    return read_class_names(file)


def _names_url(location: Location) -> str:
    base = location.base.rpartition("/")[0] if ".tar" in location.base else location.base
    return f"{base}/{CLASS_NAMES}"


def _class_names(location: Location) -> tuple[str, ...]:
    if location.folder is not None:
        return packed_class_names(location)
    try:
        return read_class_names(fetch(_names_url(location)))
    except InputError as error:
        raise InputError(
            f"a data set at a URL that is not registered must have {CLASS_NAMES} beside its shards: {error}"
        ) from error


def _classes_of_labels(name: str, location: Location) -> int:
    """As many as the packed manifests have labels of."""
    assert location.folder is not None
    manifests = [Manifest.read(path) for path in sorted(location.folder.glob("manifest-*.jsonl"))]
    labels = [sample.label for manifest in manifests for sample in manifest.samples]
    if not labels:
        raise no_classes(name, location.folder)
    return max(labels) + 1
