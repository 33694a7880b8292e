"""Further attempts by the same attack: from other random starts, drawn by sample id and the restart's index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dynvit.attacks.attack import Answer, Attack
from dynvit.attacks.criterion import Criterion
from dynvit.attacks.draws import draws
from dynvit.attacks.threat import Threat


def attempt(
    attack: Attack,
    restart: int,
    answer: Answer,
    images: Tensor,
    labels: Tensor,
    ids: Sequence[str],
    threat: Threat,
    criterion: Criterion,
) -> Tensor:
    """The attack itself where ``restart`` is 0, else from a start of its own.

    An attack that draws random numbers draws others. One that does not would repeat itself: it begins half the radius
    away in a random direction, and has the other half to go, which makes R+FGSM of FGSM (Tramèr et al. 2018, arXiv
    1705.07204, §4.1).

    Args:
        attack: as it is.
        restart: the index of the restart.
        answer, images, labels, ids, threat, criterion: as an attack is called with.

    Returns: images within the threat, (B, C, H, W).
    """
    if restart == 0:
        return attack(answer, images, labels, ids, threat, criterion)
    names = [f"{name}|restart {restart}" for name in ids]
    if attack.randomised:
        return attack(answer, images, labels, names, threat, criterion)
    half = replace(threat, eps=threat.eps / 2)
    found = attack(answer, _away(images, names, half), labels, names, half, criterion)
    return threat.project(found, images)


def _away(images: Tensor, names: Sequence[str], threat: Threat) -> Tensor:
    """The images moved by the whole radius in drawn directions: to a corner of the cube, to a point of the sphere."""
    drawn = [torch.from_numpy(draw.standard_normal(tuple(images.shape[1:]))) for draw in draws(names, 0, "restart")]
    return threat.project(images + threat.eps * threat.direction(torch.stack(drawn).to(images)), images)
