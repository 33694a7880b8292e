"""What attacks on a record say of masked gradients, joined to the record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from dynvit.measurements.robustness.masking_signs import Measured, findings
from dynvit.measurements.robustness.result import RobustnessResult, said, unbounded

SLACK_IMAGES = 2
"""Images by which attacks may differ by chance, where a point of percent is less than that."""

FAR_PCT = 10.0
"""Points above the undefended backbone that want a reason."""


def masking_signs(
    attacks: Sequence[RobustnessResult], undefended: Sequence[RobustnessResult], image_size: Sequence[int]
) -> Iterator[str]:
    """Every sign that the attacks on one record show, a line each.

    ``attacks`` are on accuracy, all on the same images; ``undefended`` the same on the static backbone, none where the
    record is that. Units: ``image_size`` pixels.
    """
    if not attacks:
        return
    slack = max(1.0, 100 * SLACK_IMAGES / attacks[0].n)
    # What was right more often to begin with may keep more, and hides nothing by it.
    better = max(0.0, _clean(attacks) - _clean(undefended)) if undefended else 0.0
    measured, theirs = _measured(attacks, image_size), _measured(undefended, image_size)
    for finding in findings(measured, theirs, slack_pct=slack, far_pct=FAR_PCT + better):
        yield f"{finding.sign}: {finding.text}"
    yield from _stand_ins(attacks, slack)


def _stand_ins(those: Sequence[RobustnessResult], slack: float) -> Iterator[str]:
    """A stand-in that fools the model better than its own gradient does: the gates hide something."""
    for stand_in in those:
        if stand_in.variant not in ("frozen", "transfer"):
            continue
        own = [
            attack
            for attack in those
            if (attack.norm, attack.eps, attack.attack) == (stand_in.norm, stand_in.eps, stand_in.attack)
            and attack.settings == stand_in.settings
            and attack.variant in ("adaptive", "soft")
        ]
        if own and (best := min(own, key=lambda a: a.accuracy_pct)).accuracy_pct > stand_in.accuracy_pct + slack:
            yield (
                f"{stand_in.variant}-stronger: {said(stand_in)} leaves {stand_in.accuracy_pct:.1f} % at "
                f"{stand_in.norm} {stand_in.eps:.4g}, {said(best)} through the gates {best.accuracy_pct:.1f} %: "
                "the gates hide the gradient"
            )


def _measured(attacks: Sequence[RobustnessResult], image_size: Sequence[int]) -> list[Measured]:
    """The adaptive attacks as masking's checks read them: of several variants the strongest."""
    strongest: dict[tuple[object, ...], Measured] = {}
    for attack in attacks:
        if attack.variant not in ("adaptive", "soft"):
            continue
        steps = None if attack.threat == "black-box" else int(attack.settings.get("steps") or 1)  # type: ignore[arg-type]
        found = Measured(
            attack.attack,
            attack.norm,
            attack.eps,
            attack.accuracy_pct,
            steps,
            unbounded(attack.norm, attack.eps, image_size),
            json.dumps(attack.settings, sort_keys=True),
        )
        key = (found.attack, found.norm, found.eps, found.settings)
        if key not in strongest or found.accuracy_pct < strongest[key].accuracy_pct:
            strongest[key] = found
    return list(strongest.values())


def _clean(those: Sequence[RobustnessResult]) -> float:
    return those[0].clean_accuracy_pct or 0.0
