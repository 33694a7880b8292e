"""Attacks with the settings of papers and leaderboards, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dynvit.attacks.apgd import APGD
from dynvit.attacks.apgd_targeted import TargetedAPGD
from dynvit.attacks.attack import Attack
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.radius import Norm
from dynvit.attacks.spec import AttackSpec
from dynvit.attacks.square import Square
from dynvit.attacks.threat import Threat
from dynvit.errors import unknown


@dataclass(frozen=True)
class Preset:
    """A named set of attacks, and where its settings come from."""

    specs: tuple[AttackSpec, ...]
    source: str


def _fgsm_and_pgd(norm: Norm, *radii: float) -> tuple[AttackSpec, ...]:
    """FGSM and PGD at each radius, in the order given."""
    return tuple(
        AttackSpec(name, attack, Threat(norm, eps))
        for eps in radii
        for name, attack in (("fgsm", FGSM()), ("pgd", PGD()))
    )


def _strong(norm: Norm, eps: float) -> tuple[AttackSpec, ...]:
    """AutoAttack's members as its standard version sets them, without FAB-T; misclassified images are left."""
    members: tuple[tuple[str, Attack], ...] = (
        ("apgd", APGD(early_stop=True)),
        ("apgd-t", TargetedAPGD(early_stop=True)),
        ("square", Square()),
    )
    return tuple(AttackSpec(name, attack, Threat(norm, eps)) for name, attack in members)


PRESETS: Mapping[str, Preset] = {
    "mia-paper": Preset(
        # One attempt by each attack, as in the paper.
        (
            AttackSpec("pgd", PGD(), Threat("linf", 0.002), attempts=1),
            AttackSpec("fgsm", FGSM(), Threat("l2", 0.03), attempts=1),
        ),
        # The paper names norms and radii only. Pixels in [0, 1] and PGD's steps are our assumption: an L2 ball of 0.03
        # in 150,528 dimensions hardly moves any model.
        "MIA-Former (arXiv 2112.11542), experiment setup; PGD's steps and the scale of pixels are not given there",
    ),
    "imagenet-linf": Preset(
        _fgsm_and_pgd("linf", *(k / 255 for k in (0.25, 0.5, 1, 2, 4))), "ε of RobustBench, and below"
    ),
    "cifar-linf": Preset(_fgsm_and_pgd("linf", 8 / 255), "ε of RobustBench"),
    "cifar-l2": Preset(_fgsm_and_pgd("l2", 0.5), "ε of RobustBench"),
    "imagenet-linf-strong": Preset(_strong("linf", 4 / 255), "AutoAttack's standard without FAB-T, ε of RobustBench"),
    "cifar-linf-strong": Preset(_strong("linf", 8 / 255), "AutoAttack's standard without FAB-T, ε of RobustBench"),
    "cifar-l2-strong": Preset(_strong("l2", 0.5), "AutoAttack's standard without FAB-T, ε of RobustBench"),
}


def preset(name: str) -> Preset:
    """The preset of a name. Raises: ``InputError`` for an unknown one.

    >>> [f"{255 * spec.threat.eps:g}" for spec in preset("imagenet-linf").specs if spec.name == "pgd"]
    ['0.25', '0.5', '1', '2', '4']
    """
    if name not in PRESETS:
        raise unknown("attack preset", name, PRESETS)
    return PRESETS[name]
