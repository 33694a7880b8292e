"""What a checkpoint says of itself, adopted by whoever opens it: no two places may draw other splits or sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynvit.checkpoint import CheckpointConfig, folder_of, read_config
from dynvit.errors import InputError
from dynvit.request import SessionRequest
from dynvit.session.same_data import SameData

_SAID = {
    "backbone": "backbone",
    "image_size": "image size",
    "data_seed": "data seed",
    "calibration": "number of calibration images",
}
_OF_DATA = {"data_seed": SameData.seen_by, "calibration": SameData.holds_out}


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
        if name == "dataset":
            return config.dataset or None  # kept with weights that do not tell what they were trained on
        return config.backbone_info.name if name == "backbone" else getattr(config, name)


def adopt(request: SessionRequest) -> SessionRequest:
    """The request, completed by what its checkpoints say.

    Weights that were trained here on the same data set bind the data seed as a checkpoint does: they have seen its
    training images.

    Raises: ``InputError`` where two checkpoints disagree, or one with what is asked for; both are named.
    """
    facts = [Facts(path, read_config(path)) for path in request.checkpoints if Path(path).is_dir()]
    if request.weights is not None and (folder := folder_of(request.weights)) is not None:
        facts.append(Facts(request.weights, read_config(folder), binding=False))
    dataset = _agreed("dataset", request, [each for each in facts if each.binding] or facts)
    data = SameData(dataset, request.data_dir)
    found = {"dataset": dataset}
    for name in _SAID:
        # Splits are a matter of the data set that was trained on; another one may be measured on.
        concerned = _OF_DATA.get(name, SameData.seen_by)
        bound = [e for e in facts if (e.binding and name not in _OF_DATA) or concerned(data, e.config)]
        found[name] = _agreed(name, request, bound)
    return request.completed(**found)


def _agreed(name: str, request: SessionRequest, facts: Sequence[Facts]) -> Any:
    """What is asked for, else what all checkpoints say; None where nobody says anything."""
    asked, said = getattr(request, name), _SAID.get(name, "data set")
    known = [(each, each.value(name)) for each in facts if each.value(name) is not None]
    if asked is not None:
        for each, value in known:
            # Weights may start another size, a model be measured on another data set; splits may never differ.
            if value != asked and name != "dataset" and (each.binding or name in _OF_DATA):
                raise InputError(
                    f"checkpoint {each.path} was made with {said} {value}, and --{name.replace('_', '-')} is {asked}: "
                    "leave that out, or give a checkpoint that was made with it"
                )
        return asked
    if not known:
        return None
    first, value = known[0]
    for each, other in known[1:]:
        if other != value and (each.binding or name in _OF_DATA):
            raise InputError(
                f"checkpoints disagree: {first.path} was made with {said} {value}, {each.path} with {other}; open "
                "together only what was made alike"
            )
    return value


def checkpoint_facts(path: str | os.PathLike[str]) -> CheckpointConfig:
    """What a folder of ``dynvit train`` says of itself. Raises: as ``dynvit.checkpoint.read_config``."""
    return read_config(path)
