"""What attacks on a record say of masked gradients, joined to the record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from dynvit.leaderboard.per_sample import unpack
from dynvit.measurements.robustness.masking_signs import Measured, findings
from dynvit.measurements.robustness.result import RobustnessResult, unbounded


def masking_signs(
    attacks: Sequence[RobustnessResult], undefended: Sequence[RobustnessResult], image_size: Sequence[int]
) -> Iterator[str]:
    """Every sign that the attacks on one record show, a line each.

    ``attacks`` are on accuracy, all on the same images; ``undefended`` those on the static backbone, of which the ones
    on these images are looked at; none where the record is that. Units: ``image_size`` pixels.
    """
    if not attacks:
        return
    base = [attack for attack in undefended if attack.images == attacks[0].images]
    # What was right more often to begin with may keep more, and hides nothing by it.
    better = max(0.0, _clean(attacks) - _clean(base)) if base else 0.0
    for finding in findings(_measured(attacks, image_size), _measured(base, image_size), better_pct=better):
        yield f"{finding.sign}: {finding.text}"


def _measured(attacks: Sequence[RobustnessResult], image_size: Sequence[int]) -> list[Measured]:
    """The attacks as masking's checks read them."""
    return [
        Measured(
            attack.attack,
            attack.norm,
            attack.eps,
            unpack(attack.right, attack.n),
            None if attack.threat == "black-box" else int(attack.settings.get("steps") or 1),  # type: ignore[arg-type]
            unbounded(attack.norm, attack.eps, image_size),
            json.dumps(attack.settings, sort_keys=True),
            attack.variant or "adaptive",
            attack.restart or 0,
        )
        for attack in attacks
        if attack.right is not None
    ]


def _clean(those: Sequence[RobustnessResult]) -> float:
    return those[0].clean_accuracy_pct or 0.0
