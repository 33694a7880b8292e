"""Every model gets as many attempts by an attack, whatever it can be attacked through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attack_helpers import IDS, SMALL, answer_of, small_set
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dynvit.attacks import MISCLASSIFY, Attack, AttackSpec, Threat
from dynvit.attacks.apgd import APGD
from dynvit.attacks.apgd_targeted import TargetedAPGD
from dynvit.attacks.criterion import margin
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.presets import PRESETS
from dynvit.attacks.problem import AttackProblem
from dynvit.attacks.restarts import attempt
from dynvit.attacks.square import Square
from dynvit.interface import Capability
from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.measurements.robustness.comparing import unequal_attempts
from dynvit.measurements.robustness.summary import RobustEntry, RobustnessSummary
from dynvit.measurements.robustness.tasks import AttackTask, Planner, config_of
from dynvit.measurements.robustness.variants import variants_of

NORMS = (Threat("linf", 8 / 255), Threat("l2", 0.5))
GRADIENTS: tuple[Attack, ...] = (FGSM(), PGD(steps=4), PGD(steps=4, random_start=False), APGD(steps=5))
EVERY: tuple[Attack, ...] = (*GRADIENTS, TargetedAPGD(steps=3, targets=2), Square(queries=9))


@dataclass(frozen=True)
class Twice(Attack):
    """A third party's, without random numbers: two steps of half the radius."""

    def search(self, problem: AttackProblem) -> Tensor:
        images, threat = problem.clean, problem.threat
        for _ in range(2):
            gradient = problem.evaluate(images, problem.rows).gradient
            images = threat.project(images + threat.eps / 2 * threat.direction(gradient), problem.clean)
        return images


def point_of(supports: frozenset[Capability] = frozenset(), side: int = 8) -> Any:
    """A measured point of a model that nobody has heard of."""
    opened = SimpleNamespace(
        model=SimpleNamespace(supports=supports, parameters=lambda: iter([torch.zeros(1)])),
        method=SimpleNamespace(adaptive_cost=False),
        preprocessing=SimpleNamespace(image_size=side),
    )
    return SimpleNamespace(opened=opened, record_id="0" * 16)


def planned(spec: AttackSpec, at: Any, source: Any = None) -> list[AttackTask]:
    return Planner([spec], checks=False, images="f" * 16, count=4).accuracy(at, spec, source)


CAPABILITIES: tuple[Capability, ...] = ("budgets", "frozen gates", "surrogate logits", "compute proxy")


@given(
    st.frozensets(st.sampled_from(CAPABILITIES)),
    st.sampled_from([*EVERY, Twice()]),
    st.sampled_from(["none", "dense", "larger"]),
)
def test_any_model_beside_any_other_gets_the_same_number(
    supports: frozenset[Capability], attack: Attack, beside: str
) -> None:
    spec = AttackSpec("any", attack, NORMS[0])
    source = {"none": None, "dense": point_of(), "larger": point_of(side=16)}[beside]
    tasks = planned(spec, point_of(supports), source)
    expected = 1 if attack.black_box else 3 if attack.labels_only else 4
    assert len(tasks) == expected
    assert len({task.key for task in tasks}) == expected
    assert [task.spec.restart for task in tasks if task.spec.variant != "adaptive"] == [0] * (
        len(variants_of(point_of(supports).opened.model, attack, "misclassify", adaptive_cost=True))
        - 1
        + (beside == "dense" and not attack.black_box)
    )
    assert planned(replace(spec, attempts=1), point_of(supports), source)[0].key == tasks[0].key


def test_the_static_model_itself_is_attacked_as_often_as_what_stands_on_it() -> None:
    dense = point_of()
    tasks = planned(AttackSpec("pgd", PGD(), NORMS[0]), dense, dense)
    assert Counter((task.spec.variant, task.spec.restart) for task in tasks) == Counter(
        ("adaptive", k) for k in range(4)
    )


def test_the_paper_s_preset_makes_the_paper_s_one_attempt() -> None:
    for spec in PRESETS["mia-paper"].specs:
        for supports in (frozenset(), frozenset(CAPABILITIES)):
            [task] = planned(spec, point_of(supports), point_of())
            assert (task.spec.variant, task.spec.restart) == ("adaptive", 0)


def test_a_first_attempt_has_the_key_that_it_had_before_there_were_restarts() -> None:
    spec = AttackSpec("pgd", PGD(), NORMS[0])
    config = config_of(spec, "f" * 16, None)
    older = {name: value for name, value in config.items() if name not in ("restart", "revision")}
    assert follow_up_key("0" * 16, config) == follow_up_key("0" * 16, older)
    again = config_of(spec.of(restart=2), "f" * 16, None)
    assert again == config | {"restart": 2}
    assert config_of(AttackSpec("apgd", APGD(), NORMS[0]), "f" * 16, None)["revision"] == 2


def run(attack: Attack, restart: int, threat: Threat, ids: Sequence[str] = IDS) -> Tensor:
    images, labels = small_set()
    return attempt(attack, restart, answer_of(SMALL), images, labels, ids, threat, MISCLASSIFY)


@pytest.mark.parametrize("threat", NORMS, ids=str)
@pytest.mark.parametrize("attack", [*EVERY, Twice()], ids=str)
def test_a_restart_is_another_attempt_within_the_same_ball(attack: Attack, threat: Threat) -> None:
    images, labels = small_set()
    first, second, third = (run(attack, restart, threat) for restart in range(3))
    assert torch.equal(first, attack(answer_of(SMALL), images, labels, IDS, threat))
    assert torch.equal(second, run(attack, 1, threat))
    for one, other in ((first, second), (second, third)):
        assert not torch.equal(one, other)
    for found in (second, third):
        assert ((found >= 0) & (found <= 1)).all()
        assert (threat.distance(found, images) <= threat.eps * (1 + 1e-5) + 1e-6).all()
        moved = threat.distance(found, images)
        # A random direction and the gradient's are at right angles under L2: two halves are 0.7 of the radius together.
        assert moved.max() > 0.65 * threat.eps or attack.black_box
    # Drawn for an image: it does not depend on its batch.
    alone = attempt(attack, 1, answer_of(SMALL), images[5:6], labels[5:6], IDS[5:6], threat, MISCLASSIFY)
    torch.testing.assert_close(alone, second[5:6], rtol=0, atol=1e-5)


def test_a_restart_of_one_step_is_the_random_start_and_a_step_of_what_is_left() -> None:
    images, threat = small_set()[0], Threat("linf", 8 / 255)
    inside = (images > threat.eps) & (images < 1 - threat.eps)
    steps = ((run(FGSM(), 1, threat) - images) / threat.eps)[inside]
    reached = (steps.abs() < 1e-3) | ((steps.abs() - 1).abs() < 1e-3)
    assert reached.all(), "half the radius one way, half the other or the same"
    assert 0.2 < (steps.abs() < 1e-3).double().mean() < 0.8


def test_more_attempts_leave_less() -> None:
    labels = small_set()[1]
    alive, left = torch.ones(len(labels), dtype=torch.bool), []
    for restart in range(4):
        found = run(PGD(steps=1), restart, Threat("linf", 4 / 255))
        alive &= margin(answer_of(SMALL)(found, labels), labels) <= 0
        left.append(int(alive.sum()))
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0]


def test_rows_of_unlike_attempts_are_said() -> None:
    def row(norm: str, attempts: int, eps: float = 0.1) -> RobustEntry:
        return RobustEntry(norm=norm, eps=eps, n=8, clean_pct=90, accuracy_pct=50, ci95_low_pct=40, ci95_high_pct=60,
                           strongest="pgd", strongest_pct=50, attacks=attempts)  # fmt: skip

    even = [RobustnessSummary(accuracy=(row("linf", 4), row("linf", 8, 0.2), row("l2", 4))) for _ in range(2)]
    assert list(unequal_attempts(even)) == []
    [said] = unequal_attempts([*even, RobustnessSummary(accuracy=(row("linf", 4), row("linf", 7, 0.2)))])
    assert said.startswith("rows have met from 7 to 8 attempts under linf")
    assert list(unequal_attempts([*even, RobustnessSummary()])) == []
