"""What attacks leave of a model: robust accuracy, and compute under attack."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from dynvit.api.measuring import Evaluation, as_model, measure, run_on, session_on
from dynvit.api.model import Model
from dynvit.attacks import attacks as registered
from dynvit.errors import InputError, unknown
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.settings import RobustnessSettings
from dynvit.measurements.robustness.summary import RobustEntry, RobustnessSummary, SlowdownEntry
from dynvit.measurements.robustness.table import attack_table, radius
from dynvit.measurements.run import Run
from dynvit.measurements.runner import Runner
from dynvit.measurements.task import MeasuredPoint
from dynvit.options import option_text
from dynvit.settings import flags_of, validated

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class UnderAttack:
    """What attacks left of a model at one point.

    ``clean`` is the model without them, on the same images; ``results`` one for each attack and variant; ``summary``
    the worst of them image by image, for each norm and radius.
    """

    clean: Evaluation
    results: tuple[RobustnessResult, ...] = field(repr=False)
    summary: RobustnessSummary = field(repr=False)

    @property
    def worst(self) -> RobustEntry | None:
        """Accuracy within the largest radius; None where no attack was on accuracy."""
        return max(self.summary.accuracy, key=lambda entry: entry.eps, default=None)

    @property
    def slowdown(self) -> SlowdownEntry | None:
        """Compute within the largest radius; None where no attack on compute can be run."""
        return max(self.summary.slowdown, key=lambda entry: (entry.eps, not entry.keep_label), default=None)

    @property
    def accuracy(self) -> float | None:
        """Robust accuracy: right under every attack within the largest radius. Units: percent."""
        return None if self.worst is None else self.worst.accuracy_pct

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of its 95 % interval. Units: percent."""
        return None if self.worst is None else (self.worst.ci95_low_pct, self.worst.ci95_high_pct)

    @property
    def gmacs(self) -> float | None:
        """Compute under the worst slowdown within the largest radius. Units: mean GMACs an image."""
        return None if self.slowdown is None else self.slowdown.gmacs_mean

    @property
    def saving_lost_pct(self) -> float | None:
        """The saving lost under that attack; None where nothing was saved. Units: percent of the clean saving."""
        return None if self.slowdown is None else self.slowdown.saving_lost_pct

    @property
    def masking_signs(self) -> tuple[str, ...]:
        """Signs that gradients are masked, a sentence each: robust accuracy is then an upper bound only."""
        return self.summary.masking_signs

    def table(self) -> Table:
        """Every attack in a row, and the worst of them together; a notebook shows it, ``rich.print`` prints it."""
        return attack_table(self.clean.record, self.results)

    def __repr__(self) -> str:
        said = [f"clean {self.clean.top1:.1f} %"]
        if self.worst is not None:
            where = radius(self.worst.norm, self.worst.eps)
            said.append(f"within {where} {self.worst.accuracy_pct:.1f} %")
        if self.slowdown is not None:
            said.append(f"{self.clean.gmacs:.4g} GMACs, under attack {self.slowdown.gmacs_mean:.4g}")
        signs = f"; {len(self.masking_signs)} signs of masked gradients" if self.masking_signs else ""
        return f"UnderAttack({'; '.join(said)}; {self.clean.images:,} images{signs})"


def attack(
    model: Model | str | os.PathLike[str],
    attacks: str | Sequence[str],
    eps: float | str | Sequence[float | str] = (),
    *,
    dataset: str | None = None,
    split: str = "validation",
    data_dir: str | None = None,
    limit: int = 256,
    batch_size: int = 64,
    **settings: Any,
) -> UnderAttack:
    """Attack a model at its operating point, on accuracy and on compute; nothing is written.

    Args:
        model: from ``dynvit.load``, or what that takes.
        attacks: names (``list_attacks``), or a preset's.
        eps: radii of pixels in [0, 1], 4/255 for one; default: the field's grid.
        dataset: a name or the folder of a packed data set; default: the model's own.
        split: the images that are attacked are of this split.
        data_dir: where the shards lie; default: $DYNVIT_DATA/DATASET.
        limit: how many images are attacked, a fair draw by the data seed.
        batch_size: images a batch.
        settings: ``norm`` ("linf", "l2"), ``masking_checks`` (True), and those of the attack itself: ``steps=20``.

    Raises: ``InputError`` for an attack or a setting that there is not, and as ``evaluate``.
    """
    model = as_model(model)
    asked = _settings(attacks, eps, limit, settings)
    session = session_on(model, dataset, split=split, data_dir=data_dir, limit=limit)
    run = run_on(model, session, batch_size, "dynvit.attack")
    measurement = Robustness(asked)
    measurement.measurer.check(session, run.source)
    measurement.measurer.check_model(model.method, model.opened.model, model.opened.knobs)
    at = measure(model, run)
    results = _carried_out(measurement, at, run)
    summary = measurement.summarise([at.record], {at.record_id: results}).get(at.record_id)
    assert summary is not None, "an attack gives a result"
    return UnderAttack(Evaluation(at.record), tuple(results), summary)


def _carried_out(measurement: Robustness, at: MeasuredPoint, run: Run) -> list[RobustnessResult]:
    runner = Runner(measurement, run, measurement.store(None))
    tasks = measurement.measurer.tasks([at], run)
    runner.do(tasks)
    return runner.results(tasks)


def _settings(attacks: Any, eps: Any, limit: int, given: Mapping[str, Any]) -> RobustnessSettings:
    names = _names(attacks)
    values: dict[str, Any] = {"attacks": names, "eps": eps, "limit": limit, "points": "all"}
    kinds: list[Any] = [registered.get(name) for name in names if name in registered.names()]
    own = [setting.name for kind in kinds for setting in fields(kind)]
    shared, options = ("norm", "masking_checks"), list[str]()
    for name, value in given.items():
        if name in shared:
            values[name] = value
        elif name in own:
            options.append(option_text(name, value))
        else:
            raise unknown(f"setting of {' and '.join(names)}", name, {*shared, *own})
    if options and len(names) > 1:
        raise InputError(f"settings of one attack ({', '.join(options)}) are given for {len(names)}: attack one by one")
    return validated(
        RobustnessSettings,
        values | ({"attack_option": {names[0]: tuple(options)}} if options else {}),
        flags_of(RobustnessSettings, "robustness"),
    )


def _names(attacks: Any) -> tuple[str, ...]:
    """Raises: ``InputError`` for what is neither a name nor several."""
    found = attacks.split(",") if isinstance(attacks, str) else attacks
    if not isinstance(found, Sequence) or not all(isinstance(name, str) for name in found):
        raise InputError(f"attacks must be names, 'pgd' or ['fgsm', 'pgd'] for some, got {attacks!r} (list_attacks)")
    return tuple(name.strip() for name in found)
