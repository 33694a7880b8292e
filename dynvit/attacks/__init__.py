"""Attacks: images changed within a bound so that a model errs, or computes more. They know no method.

An attack is a frozen dataclass of settings; calling it gives images:

    with frozen_parameters(model):
        found = PGD(steps=20)(answer, images, labels, ids, Threat("linf", 4 / 255), MISCLASSIFY)

``answer(images, rows)`` is whatever is attacked, bound by the caller: ``model.forward`` at an operating point, gates
held fixed, the dense backbone. ``goal`` says what the attack wants of a ``Prediction``: a wrong label
(``MISCLASSIFY``, the default), or more compute. Names are registered in ``attacks``; named settings of the field lie
in ``presets``.
"""

from dynvit.attacks.attack import Answer, Attack, attacks, register_attack
from dynvit.attacks.criterion import MISCLASSIFY, Criterion
from dynvit.attacks.problem import frozen_parameters
from dynvit.attacks.threat import Norm, Threat

__all__ = [
    "MISCLASSIFY",
    "Answer",
    "Attack",
    "Criterion",
    "Norm",
    "Threat",
    "attacks",
    "frozen_parameters",
    "register_attack",
]
