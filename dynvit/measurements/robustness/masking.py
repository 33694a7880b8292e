"""What attacks on a record say of masked gradients, joined to the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from dynvit.attacks import attacks
from dynvit.leaderboard.record import Record, RobustnessRecord, is_static
from dynvit.measurements.robustness.masking_signs import Measured, findings
from dynvit.measurements.robustness.summary import comparable, said, unbounded

SLACK_IMAGES = 2
"""Images by which attacks may differ by chance, where a point of percent is less than that."""

FAR_PCT = 10.0
"""Points above the undefended backbone that want a reason."""


def with_findings(records: Iterable[Record]) -> list[Record]:
    """The records with what their attacks say. The static backbone is what 'undefended' means: the record without knobs
    that costs what dense costs."""
    every = list(records)
    static = next((record for record in every if is_static(record) and comparable(record)), None)
    return [record.model_copy(update={"findings": tuple(_found(record, static))}) for record in every]


def _found(record: Record, static: Record | None) -> Iterator[str]:
    those = comparable(record)
    if not those:
        return
    slack = max(1.0, 100 * SLACK_IMAGES / those[0].n)
    theirs: Sequence[Measured] = ()
    better = 0.0
    if static is not None and not is_static(record):
        theirs = _measured(static)
        # What was right more often to begin with may keep more, and hides nothing by it.
        better = max(0.0, _clean(those) - _clean(comparable(static)))
    for finding in findings(_measured(record), theirs, slack_pct=slack, far_pct=FAR_PCT + better):
        yield f"{finding.sign}: {finding.text}"
    yield from _stand_ins(record, those, slack)


def _stand_ins(record: Record, those: Sequence[RobustnessRecord], slack: float) -> Iterator[str]:
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


def _measured(record: Record) -> list[Measured]:
    """The adaptive attacks as masking's checks read them: of several variants the strongest."""
    strongest: dict[tuple[object, ...], Measured] = {}
    for attack in comparable(record):
        if attack.variant not in ("adaptive", "soft") or attack.norm not in ("linf", "l2") or attack.eps is None:
            continue
        steps = None if attacks.get(attack.attack).black_box else int(attack.settings.get("steps") or 1)  # type: ignore[arg-type]
        found = Measured(
            attack.attack,
            attack.norm,
            attack.eps,
            attack.accuracy_pct,
            steps,
            unbounded(attack.norm, attack.eps, record.preprocessing.image_size),
            json.dumps(attack.settings, sort_keys=True),
        )
        key = (found.attack, found.norm, found.eps, found.settings)
        if key not in strongest or found.accuracy_pct < strongest[key].accuracy_pct:
            strongest[key] = found
    return list(strongest.values())


def _clean(those: Sequence[RobustnessRecord]) -> float:
    return those[0].clean_accuracy_pct or 0.0
