"""dynvit: dynamic vision transformers behind one interface, compared on accuracy and compute.

``import dynvit`` is all that a script or a notebook needs; what is heavy is imported when it is first asked for.
``docs/api.md`` shows every call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dynvit.errors import InputError
from dynvit.point import OperatingPoint
from dynvit.version import __version__

if TYPE_CHECKING:
    from dynvit.api.answer import Answer
    from dynvit.api.comparing import bench
    from dynvit.api.listing import (
        list_attacks,
        list_backbones,
        list_checkpoints,
        list_datasets,
        list_measurements,
        list_methods,
    )
    from dynvit.api.loading import load
    from dynvit.api.measuring import Evaluation, evaluate
    from dynvit.api.model import Model
    from dynvit.api.training import train
    from dynvit.api.under_attack import UnderAttack, attack
    from dynvit.report import Board, read_board

__all__ = [
    "Answer",
    "Board",
    "Evaluation",
    "InputError",
    "Model",
    "OperatingPoint",
    "UnderAttack",
    "__version__",
    "attack",
    "bench",
    "evaluate",
    "list_attacks",
    "list_backbones",
    "list_checkpoints",
    "list_datasets",
    "list_measurements",
    "list_methods",
    "load",
    "read_board",
    "train",
]

_WHERE = {
    "Answer": "dynvit.api.answer",
    "Board": "dynvit.report",
    "Evaluation": "dynvit.api.measuring",
    "Model": "dynvit.api.model",
    "UnderAttack": "dynvit.api.under_attack",
    "attack": "dynvit.api.under_attack",
    "bench": "dynvit.api.comparing",
    "evaluate": "dynvit.api.measuring",
    "list_attacks": "dynvit.api.listing",
    "list_backbones": "dynvit.api.listing",
    "list_checkpoints": "dynvit.api.listing",
    "list_datasets": "dynvit.api.listing",
    "list_measurements": "dynvit.api.listing",
    "list_methods": "dynvit.api.listing",
    "load": "dynvit.api.loading",
    "read_board": "dynvit.report",
    "train": "dynvit.api.training",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
