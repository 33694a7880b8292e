"""Weights as pre-trainings leave them: a network within a network, with a decoder beside it and without a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

State = dict[str, Tensor]

WRAPPERS = ("teacher", "ema", "target_encoder", "model", "state_dict", "module", "encoder", "student", "network", "net")
"""Keys under which files keep the tensors, the first that is there: of teacher and student the teacher is evaluated."""
PREFERRED = ("teacher", "ema", "momentum", "target", "base", "encoder", "backbone", "student")
"""Words in the prefix of a network, where a file holds several."""
DISCARDED = ("decoder", "mask_token", "projector", "projection", "predictor", "prototypes", "queue", "lm_head", "head")
"""Beginnings of names that a pre-training has beside the backbone, and that no classifier needs."""


def unwrapped(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping with the tensors, where a file keeps it under a name within another.

    >>> import torch
    >>> sorted(unwrapped({"epoch": 3, "teacher": {"norm.weight": torch.ones(2)}, "student": {}}))
    ['norm.weight']
    """
    while not any(isinstance(value, Tensor) for value in found.values()):
        inside = {name: value for name, value in found.items() if isinstance(value, Mapping) and _holds_tensors(value)}
        name = next((name for name in WRAPPERS if name in inside), next(iter(inside), None))
        if name is None:
            break
        found = inside[name]
    return found


def of_one_network(state: Mapping[str, Tensor], wanted: Iterable[str]) -> tuple[State, str]:
    """The tensors of the network whose names are ``wanted`` after some prefix, without that prefix; and the prefix.

    Where the names are as they are wanted, or nowhere so, the state stays whole and the prefix is empty. Of several
    networks the one that a pre-training evaluates is taken.

    >>> import torch
    >>> state = {"module.base_encoder.norm.weight": torch.ones(2), "module.queue": torch.ones(3)}
    >>> found, prefix = of_one_network(state, ["norm.weight", "head.weight"])
    >>> list(found), prefix
    (['norm.weight'], 'module.base_encoder.')
    """
    names = set(wanted)
    if not names or any(name in state for name in names):
        return dict(state), ""
    counts: dict[str, int] = {}
    for name in state:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in names:
                prefix = ".".join(parts[:cut]) + "."
                counts[prefix] = counts.get(prefix, 0) + 1
                break
    if not counts:
        return dict(state), ""
    most = max(counts.values())
    prefix = min((found for found in counts if counts[found] > most / 2), key=_preference)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}, prefix


def without_leftovers(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> State:
    """The tensors but for what a pre-training has beside the backbone; the final norm by the name that is wanted.

    A model that pools all tokens calls its last norm ``fc_norm``, one that reads the class token ``norm``.
    """
    kept = {name: value for name, value in state.items() if name in wanted or not name.startswith(DISCARDED)}
    for ours, theirs in (("norm.", "fc_norm."), ("fc_norm.", "norm.")):
        if _has(wanted, ours) and not _has(wanted, theirs) and not _has(kept, ours):
            kept = {
                ours + name.removeprefix(theirs) if name.startswith(theirs) else name: v for name, v in kept.items()
            }
    return kept


def _holds_tensors(value: Mapping[str, Any]) -> bool:
    inside = value.values()
    return any(isinstance(one, Tensor) or (isinstance(one, Mapping) and _holds_tensors(one)) for one in inside)


def _preference(prefix: str) -> tuple[int, int]:
    words = prefix.split(".")
    ranks = [rank for rank, word in enumerate(PREFERRED) if any(word in part for part in words)]
    return min(ranks, default=len(PREFERRED)), len(words)


def _has(names: Iterable[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)
