"""Attacks: images changed within a bound so that a model errs, or computes more. They know no method.

An attack is a frozen dataclass of settings; calling it gives images:

    with frozen_parameters(model):
        found = PGD(steps=20)(answer, images, labels, ids, Threat("linf", 4 / 255), MISCLASSIFY)

``answer(images, rows)`` is whatever is attacked, bound by the caller: ``model.forward`` at an operating point, gates
held fixed, the dense backbone. The criterion says what the attack seeks in a ``Prediction``: a wrong label
(``MISCLASSIFY``, the default), or more compute. Names are registered in ``attacks``; named settings from papers are in
``presets``; a fully specified attack is an ``AttackSpec``.

Names are imported when they are used, so that ``dynvit.attacks.radius`` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dynvit.attacks.radius import Norm

if TYPE_CHECKING:
    from dynvit.attacks.attack import Answer, Attack, attacks, register_attack
    from dynvit.attacks.criterion import MISCLASSIFY, Criterion
    from dynvit.attacks.problem import frozen_parameters
    from dynvit.attacks.spec import AttackSpec
    from dynvit.attacks.threat import Threat

__all__ = [
    "MISCLASSIFY",
    "Answer",
    "Attack",
    "AttackSpec",
    "Criterion",
    "Norm",
    "Threat",
    "attacks",
    "frozen_parameters",
    "register_attack",
]

_MODULES = {
    "MISCLASSIFY": "criterion",
    "Answer": "attack",
    "Attack": "attack",
    "AttackSpec": "spec",
    "Criterion": "criterion",
    "Threat": "threat",
    "attacks": "attack",
    "frozen_parameters": "problem",
    "register_attack": "attack",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
