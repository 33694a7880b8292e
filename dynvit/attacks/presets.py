"""Attacks as papers and leaderboards set them, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dynvit.attacks.apgd import APGD
from dynvit.attacks.apgd_targeted import TargetedAPGD
from dynvit.attacks.attack import Attack
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square
from dynvit.attacks.threat import Norm, Threat
from dynvit.errors import unknown


@dataclass(frozen=True)
class Trial:
    """One attack with its settings within one threat; ``name`` is the attack's registered name."""

    name: str
    attack: Attack
    threat: Threat


@dataclass(frozen=True)
class Preset:
    """A named set of trials, and whose it is."""

    trials: tuple[Trial, ...]
    source: str


def _ladder(norm: Norm, *radii: float) -> tuple[Trial, ...]:
    """FGSM and PGD at each radius, the smallest first."""
    return tuple(
        Trial(name, attack, Threat(norm, eps)) for eps in radii for name, attack in (("fgsm", FGSM()), ("pgd", PGD()))
    )


def _strong(norm: Norm, eps: float) -> tuple[Trial, ...]:
    """AutoAttack's members as its standard version sets them, but FAB-T. One image won is done with."""
    members: tuple[tuple[str, Attack], ...] = (
        ("apgd", APGD(early_stop=True)),
        ("apgd-t", TargetedAPGD(early_stop=True)),
        ("square", Square()),
    )
    return tuple(Trial(name, attack, Threat(norm, eps)) for name, attack in members)


PRESETS: Mapping[str, Preset] = {
    "mia-paper": Preset(
        (Trial("pgd", PGD(), Threat("linf", 0.002)), Trial("fgsm", FGSM(), Threat("l2", 0.03))),
        # The paper names norms and radii only. Pixels in [0, 1] and PGD's steps are our reading: an L2 ball of 0.03
        # in 150,528 dimensions hardly moves any model.
        "MIA-Former (arXiv 2112.11542), experiment setup; PGD's steps and the scale of pixels are not given there",
    ),
    "imagenet-linf": Preset(_ladder("linf", *(k / 255 for k in (0.25, 0.5, 1, 2, 4))), "ε of RobustBench, and below"),
    "cifar-linf": Preset(_ladder("linf", 8 / 255), "ε of RobustBench"),
    "cifar-l2": Preset(_ladder("l2", 0.5), "ε of RobustBench"),
    "imagenet-linf-strong": Preset(_strong("linf", 4 / 255), "AutoAttack's standard without FAB-T, ε of RobustBench"),
    "cifar-linf-strong": Preset(_strong("linf", 8 / 255), "AutoAttack's standard without FAB-T, ε of RobustBench"),
    "cifar-l2-strong": Preset(_strong("l2", 0.5), "AutoAttack's standard without FAB-T, ε of RobustBench"),
}


def preset(name: str) -> Preset:
    """The preset of a name. Raises: ``InputError`` for one that there is not.

    >>> [f"{255 * trial.threat.eps:g}" for trial in preset("imagenet-linf").trials if trial.name == "pgd"]
    ['0.25', '0.5', '1', '2', '4']
    """
    if name not in PRESETS:
        raise unknown("attack preset", name, PRESETS)
    return PRESETS[name]
