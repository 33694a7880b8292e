"""A trained dynamic model on disk: a folder with ``model.safetensors`` and ``config.json``, complete by itself."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialized
from torch import Tensor, nn

from dynvit.backbones.build import BackboneInfo, BackboneSpec, build
from dynvit.backbones.weights import compare
from dynvit.data.transforms import Preprocessing
from dynvit.errors import InputError
from dynvit.files import sha256_of, write_whole
from dynvit.interface import DynamicModel, methods
from dynvit.options import options_from_json
from dynvit.reading import read_json
from dynvit.version import __version__

FORMAT_VERSION: Literal[2] = 2
WEIGHTS, CONFIG = "model.safetensors", "config.json"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MethodConfig(_Frozen):
    """Which method built the model, from which package, with which options."""

    name: str
    distribution: str
    version: str
    options: dict[str, Any]


class TrainingConfig(_Frozen):
    """How the weights came about. ``metrics`` are the last epoch's, by the names of the training log.

    ``recipe_sha256`` is of what the division shares, else of the whole recipe; ``start_sha256`` of the weights that the
    training began from, null where they were drawn. What an older dynvit did not write is null.

    Units: ``images_seen`` over all stages that look at labels, the rest in ``images_seen_unlabelled``;
    ``training_gmacs`` counted on the first step of each stage, teachers and backward passes included; ``wall_s``
    seconds of training, those of killed processes left out; ``halved_into`` pieces of a batch where memory ran out,
    absent where it never did.
    """

    recipe_name: str
    recipe: dict[str, Any]
    epochs: int
    seed: int
    mixed_precision: str
    processes: int
    train_samples: int
    train_manifest_sha256: Sha256
    metrics: dict[str, float]
    command: str
    division: Literal["fine-tuned", "free"] | None = None
    recipe_sha256: Sha256 | None = None
    start_sha256: Sha256 | None = None
    images_seen: int | None = None
    images_seen_unlabelled: int | None = None
    training_gmacs: float | None = None
    wall_s: float | None = None
    halved_into: int | None = Field(default=None, exclude_if=lambda pieces: pieces is None)


class CheckpointConfig(_Frozen):
    """What stands in ``config.json``. ``target`` is a fraction of the backbone's MACs, null where none was asked for.

    ``backbone.weights`` tells where the training began; the folder itself holds all weights that are needed.
    ``data_seed`` drew the splits and ``calibration`` is how many samples were held out of train (null: not known): who
    opens the checkpoint draws the same, or would measure it on images that it has learned. ``training`` is null where
    nothing was trained on top of the backbone's weights. ``point`` holds the knobs of a model that is kept for use at
    one operating point.
    """

    format_version: Literal[2] = FORMAT_VERSION
    dynvit_version: str = __version__
    method: MethodConfig
    backbone: BackboneSpec
    backbone_info: BackboneInfo
    preprocessing: Preprocessing
    dataset: str
    class_names: tuple[str, ...]
    target: float | None
    data_seed: int = 0
    calibration: int | None = None
    training: TrainingConfig | None
    point: dict[str, float | int | str] | None = None
    weights_sha256: Sha256


def method_config(name: str, options: Mapping[str, Any]) -> MethodConfig:
    """The entry for a registered method, with the package that it comes from."""
    origin = methods.origins(name)[0]
    # A one-file plug-in's path is the author's own business: its name is enough to find it.
    distribution = os.path.basename(origin.distribution)
    return MethodConfig(name=name, distribution=distribution, version=origin.version, options=dict(options))


def save(folder: Path, model: DynamicModel, config: CheckpointConfig) -> CheckpointConfig:
    """Write the model and its config into ``folder``. Returns the config as written, with the hash of the weights.

    The config comes last and names the weights by their hash: a folder with a config is a whole checkpoint.
    """
    (folder / CONFIG).unlink(missing_ok=True)
    # Copies: tensors that share memory are refused by the format.
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    # Not by the library's own writing of files, whose faults are no OSError.
    write_whole(folder / WEIGHTS, serialized(state, metadata={"format": "pt"}))
    config = config.model_copy(update={"weights_sha256": sha256_of(folder / WEIGHTS)})
    write_whole(folder / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
    return config


def load(path: str | os.PathLike[str]) -> tuple[DynamicModel, CheckpointConfig]:
    """The model in eval mode on the CPU, and its config.

    Raises: ``InputError`` for a folder without a checkpoint, another format version, a method that is not installed,
    and weights that are damaged or do not fit what the method builds.
    """
    config = read_config(path)
    weights = Path(path) / WEIGHTS
    if not weights.is_file():
        raise InputError(f"checkpoint {path} has no {WEIGHTS}: copy the whole folder")
    if sha256_of(weights) != config.weights_sha256:
        raise InputError(f"{weights} is not what its {CONFIG} names (another SHA-256): copy or train it again")
    try:
        state: dict[str, Tensor] = load_file(weights)
    except SafetensorError as error:
        raise InputError(f"{weights} is not a safetensors file ({error}): copy or train it again") from error
    model = rebuild(config)
    compare(state, model.state_dict(), str(weights), f"method {config.method.name}")
    model.load_state_dict(state)
    return model.eval(), config


def rebuild(config: CheckpointConfig, backbone: nn.Module | None = None) -> DynamicModel:
    """The model with the structure that ``config`` describes and weights as they are drawn.

    Raises: ``InputError`` where the method is not installed or refuses the options or the backbone.
    """
    name, package = config.method.name, config.method.distribution
    if name not in methods.names():
        raise InputError(
            f"the checkpoint was made by method {name!r} of {package} {config.method.version}, which is not here: "
            "install it, or give its file with --plugin"
        )
    method = methods.get(name)()
    options = options_from_json(method.Options, config.method.options)
    if backbone is None:
        backbone = build(dataclasses.replace(config.backbone, weights=None))
    return method.attach(backbone, options)


def read_config(path: str | os.PathLike[str]) -> CheckpointConfig:
    """What ``config.json`` in the folder ``path`` says.

    Raises: ``InputError`` where there is none, or it is of another version or form.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        raise InputError(f"no checkpoint in {path}: a folder with {WEIGHTS} and {CONFIG} is wanted (dynvit train)")
    try:
        return CheckpointConfig.model_validate(_upgraded(read_json(file), file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"{file} is not a checkpoint's config: {where}: {first['msg']}") from error


def _upgraded(body: Any, file: Path) -> Any:
    """A config of version 1 in today's form: it drew its splits by the seed of its training.

    Raises: ``InputError`` for a version that is neither.
    """
    if not isinstance(body, dict) or "format_version" not in body:
        return body
    version = body["format_version"]
    if version == 1:
        training = body.get("training")
        seed = training.get("seed", 0) if isinstance(training, dict) else 0
        return {**body, "format_version": FORMAT_VERSION, "data_seed": seed}
    if version != FORMAT_VERSION:
        raise InputError(
            f"{file} has format version {version!r}, this dynvit {__version__} reads 1 and {FORMAT_VERSION}: "
            "use the version of dynvit that wrote it"
        )
    return body


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a finished checkpoint."""
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def folder_of(weights: str) -> Path | None:
    """The checkpoint whose weights these are, given as its folder or as the file in it; None for other weights."""
    path = Path(os.path.expanduser(weights))
    # A file may be linked to from outside, and the one in the folder may be a link to a store.
    files = (path, Path(os.path.realpath(path)))  # resolve() fails on a link in a circle
    places = [path] if path.is_dir() else [file.parent for file in files if file.name == WEIGHTS]
    return next((folder for folder in places if is_checkpoint(folder)), None)
