"""DeiTs in files that methods' authors published: a torch pickle with the weights under a name, in timm's spelling."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dynvit.errors import InputError

CROP_PCT = 224 / 256
"""What DeiT's own code crops, and that of many built on it: it resizes to 256 pixels for an input of 224; timm's DeiT
has 0.9."""


def read_published(path: str) -> Mapping[str, Any]:
    """The content of a published file; besides tensors the pickle may have an ``argparse.Namespace`` only.

    Raises: ``InputError`` for a file that is missing, damaged, or contains code.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"no checkpoint at {path}: dynvit ls checkpoints shows those that can be fetched") from error
    except Exception as error:  # a damaged pickle may raise anything
        code = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
        reason = "its pickle contains code, which is never run" if code else "it is not a torch file"
        raise InputError(f"checkpoint {path} cannot be read: {reason}; download it again from its authors") from error
    return found if isinstance(found, Mapping) else {}


def weights_under(outer: Mapping[str, Any], names: Sequence[str], path: str, whose: str) -> Mapping[str, Tensor]:
    """The weights under the first of ``names`` that is there, else the whole content.

    Raises: ``InputError`` where that is no mapping of names to tensors; ``whose`` files are expected.
    """
    state = next((outer[name] for name in names if name in outer), outer)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        known = " or ".join(repr(name) for name in names)
        raise InputError(f"checkpoint {path} holds no weights under {known}: it is not one of {whose}")
    return state
