"""What a checkpoint says of itself, adopted by whoever opens it: no two places may draw other splits or sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynvit.checkpoint import CheckpointConfig, is_checkpoint, read_config
from dynvit.errors import InputError
from dynvit.request import SessionRequest

_FLAGS = {
    "dataset": "data set",
    "backbone": "backbone",
    "image_size": "image size",
    "data_seed": "data seed",
    "calibration": "number of calibration images",
}


@dataclass(frozen=True)
class Facts:
    """What one checkpoint was made for. ``binding``: whether the request must agree in all of it."""

    path: str
    config: CheckpointConfig
    binding: bool = True

    def value(self, name: str) -> Any:
        """One of the facts; None where the checkpoint does not know."""
        config = self.config
        if name == "image_size":
            height, width = config.backbone_info.image_size
            return height if height == width else None
        return config.backbone_info.name if name == "backbone" else getattr(config, name)


def adopt(request: SessionRequest) -> SessionRequest:
    """The request, completed by what its checkpoints say.

    Weights that were trained here on the same data set bind the data seed as a checkpoint does: they have seen its
    training images. Raises: ``InputError`` where two checkpoints disagree, or one disagrees with what is asked for; both
    are named.
    """
    facts = [Facts(path, read_config(path)) for path in request.checkpoints if Path(path).is_dir()]
    if request.weights is not None and is_checkpoint(request.weights):
        facts.append(Facts(request.weights, read_config(request.weights), binding=False))
    found: dict[str, Any] = {}
    dataset = _agreed("dataset", request, [each for each in facts if each.binding] or facts)
    for name in _FLAGS:
        those = [each for each in facts if each.binding or each.config.dataset == dataset]
        found[name] = _agreed(name, request, those)
    return request.completed(**found)


def _agreed(name: str, request: SessionRequest, facts: Sequence[Facts]) -> Any:
    """What is asked for, else what all checkpoints say; None where nobody says anything."""
    asked = getattr(request, name)
    known = [(each, each.value(name)) for each in facts if each.value(name) is not None]
    for each, value in known:
        # Weights may be used for another backbone size or data set: that is what fine-tuning is.
        strict = each.binding or name in ("data_seed", "calibration")
        if asked is not None and strict and value != _name_of(name, asked):
            raise InputError(
                f"checkpoint {each.path} was made with {_FLAGS[name]} {value}, and --{name.replace('_', '-')} is "
                f"{asked}: leave that out, or give a checkpoint that was made with it"
            )
    if asked is not None or not known:
        return asked
    first, value = known[0]
    for each, other in known[1:]:
        if other != value and (each.binding or name in ("data_seed", "calibration")):
            raise InputError(
                f"checkpoints disagree: {first.path} was made with {_FLAGS[name]} {value}, {each.path} with {other}; "
                "open together only what was made alike"
            )
    return value


def _name_of(name: str, asked: Any) -> Any:
    """A folder that is a data set is known by its name."""
    return Path(asked).name if name == "dataset" and Path(asked).is_dir() else asked
