"""Signs of gradient masking: each is found where it is present, and none in a sound evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attack_helpers import IDS, SMALL, answer_of, small_set
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from dynvit.attacks import Attack, Threat
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square
from dynvit.interface import Prediction, Usage
from dynvit.measurements.robustness.masking_signs import LEVEL, Measured, findings

N = 200
SMALLER, LARGER, ALL = ("linf", 1 / 255), ("linf", 4 / 255), ("linf", 0.5)
L2 = ("l2", 0.5)


def left(count: int, *, first: int = 0) -> NDArray[np.bool_]:
    """Which images are left right: ``count`` of them from the ``first`` on."""
    return (np.arange(N) >= first) & (np.arange(N) < first + count)


SOUND = (
    Measured("fgsm", *SMALLER, left(100), 1),
    Measured("pgd", *SMALLER, left(80), 20),
    Measured("square", *SMALLER, left(120), None),
    Measured("fgsm", *LARGER, left(40), 1),
    Measured("pgd", *LARGER, left(1), 20),
    Measured("pgd", *L2, left(90), 20),
    Measured("fgsm", *ALL, left(24), 1, unbounded=True),
    Measured("pgd", *ALL, left(0), 20, unbounded=True),
)


def signs(*measured: Measured, undefended: tuple[Measured, ...] = ()) -> list[str]:
    return [finding.sign for finding in findings(measured, undefended)]


def test_a_sound_evaluation_shows_none() -> None:
    assert signs(*SOUND) == []
    assert signs() == []
    assert signs(*SOUND, undefended=SOUND) == []


def test_each_sign_is_found_alone() -> None:
    square, apgd = Measured("square", *SMALLER, left(60), None), Measured("apgd", *SMALLER, left(90), 100)
    assert signs(*SOUND, square) == ["black-box-stronger"]
    assert signs(*SOUND, apgd) == ["more-steps-weaker"]
    rising = Measured("pgd", *SMALLER, left(80), 20), Measured("pgd", *LARGER, left(94), 20)
    assert signs(*rising) == ["larger-eps-weaker"]
    assert signs(Measured("pgd", *ALL, left(62), 20, unbounded=True)) == ["unbounded-above-zero"]
    far = (Measured("pgd", *LARGER, left(70), 20), Measured("square", *LARGER, left(180), None))
    assert signs(*far, undefended=(Measured("pgd", *LARGER, left(1), 20),)) == ["above-undefended"]
    assert signs(*far, undefended=(Measured("pgd", *SMALLER, left(1), 20),)) == []  # another threat says nothing
    for form in ("frozen", "transfer"):
        stand_in = Measured("pgd", *LARGER, left(40), 20, form=form)
        assert signs(Measured("pgd", *LARGER, left(70), 20), stand_in) == [f"{form}-stronger"]


@pytest.mark.parametrize("differing", [1, 2, 3, 5, 6])
def test_a_few_images_are_chance_whatever_the_comparison(differing: int) -> None:
    """Three of 128 images were a sign once; of six that differ all on one side p is 0.016."""
    few, many = left(100 - differing), left(100)
    assert signs(Measured("square", *LARGER, few, None), Measured("pgd", *LARGER, many, 20)) == []
    assert signs(Measured("fgsm", *LARGER, few, 1), Measured("pgd", *LARGER, many, 20)) == []
    assert signs(Measured("pgd", *SMALLER, few, 20), Measured("pgd", *LARGER, many, 20)) == []
    assert signs(Measured("pgd", *LARGER, many, 20), Measured("pgd", *LARGER, few, 20, form="frozen")) == []
    assert signs(Measured("pgd", *ALL, left(differing), 20, unbounded=True)) == []
    lost = (Measured("pgd", *LARGER, few, 20),)
    assert signs(Measured("pgd", *LARGER, many, 20), undefended=lost) == []


def test_the_images_decide_and_not_the_accuracies() -> None:
    """Twenty points of accuracy lie between both pairs; one of them differs on every image."""
    pgd = Measured("pgd", *LARGER, left(120), 20)
    within, across = left(100), left(100, first=100)
    assert signs(Measured("square", *LARGER, within, None), pgd) == ["black-box-stronger"]  # 20 images against none
    assert signs(Measured("square", *LARGER, across, None), pgd) == []  # 100 images against 80


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_test_is_the_exact_one_of_the_pairs(more: int, fewer: int) -> None:
    black = Measured("square", *LARGER, left(100 - more) | left(fewer, first=100), None)
    found = findings([black, Measured("pgd", *LARGER, left(100), 20)])
    p = sum(math.comb(more + fewer, k) for k in range(more, more + fewer + 1)) / 2 ** (more + fewer)
    assert [f.p_value for f in found] == ([pytest.approx(p)] if p <= LEVEL else [])


def test_more_comparisons_want_more_images() -> None:
    """Eight images on one side are no chance in one comparison (p = 0.004), and are in one of five."""
    series = [Measured("pgd", "linf", 0.001 * k, left(20), 20) for k in range(1, 6)]
    one = [Measured("pgd", "linf", 0.0005, left(20), 20), Measured("pgd", "linf", 0.01, left(28), 20)]
    assert signs(*one) == ["larger-eps-weaker"]
    assert signs(*series, Measured("pgd", "linf", 0.01, left(27), 20)) == []
    assert signs(*series, Measured("pgd", "linf", 0.01, left(40), 20)) == ["larger-eps-weaker"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_attacks_that_differ_by_chance_alone_show_hardly_ever_a_sign(seed: int) -> None:
    """Twenty records a seed: attacks that are equally strong, as far as can be from showing a sound order."""
    draw, found = np.random.default_rng(seed), 0
    for _ in range(20):
        ways = [("square", None), ("fgsm", 1), ("pgd", 20)]
        record = [Measured(a, *ball, draw.random(N) < 0.5, s) for ball in (SMALLER, LARGER, L2) for a, s in ways]
        found += len(signs(*record))
    assert found <= 4


def test_attacks_that_are_not_comparable_show_no_sign() -> None:
    one_step = (Measured("fgsm", *SMALLER, left(60), 1), Measured("square", *SMALLER, left(20), None))
    assert signs(*one_step) == []
    few, many = (
        Measured("pgd", *ball, left(a), 20, settings=s) for ball, a, s in ((LARGER, 120, "1"), (SMALLER, 60, "2"))
    )
    assert signs(few, many) == []
    soft = Measured("pgd", *LARGER, left(10), 5, form="soft")  # fewer steps, through another form of the model
    assert signs(Measured("pgd", *LARGER, left(60), 20), soft) == []
    again = Measured("pgd", *SMALLER, left(10), 20, restart=1)  # one attempt more is not one radius less
    assert signs(Measured("pgd", *LARGER, left(60), 20), again) == []


def test_each_norm_has_to_reach_zero_and_small_rises_add_up() -> None:
    other = Measured("pgd", "l2", 50.0, left(0), 20, unbounded=True)
    assert signs(Measured("pgd", *ALL, left(80), 20, unbounded=True), other) == ["unbounded-above-zero"]
    rising = [Measured("pgd", "linf", 0.001 * k, left(40 + 7 * k), 20) for k in range(1, 4)]
    assert signs(*rising) == ["larger-eps-weaker"]


def test_a_finding_names_the_attacks_the_ball_and_the_counts() -> None:
    pgd = Measured("pgd", *LARGER, left(120), 20)
    (found,) = findings([pgd, Measured("square", *LARGER, left(101) | left(1, first=130), None)])
    assert found.text == (
        "at L∞ 0.01569 square without gradients fools what pgd of 20 steps with them does not: "
        "19 images against 1 the other way round, p = 2e-05: the gradient misleads"
    )
    (found,) = findings([Measured("pgd", *ALL, left(31), 20, unbounded=True)])
    assert found.text.startswith(
        "pgd of 20 steps leaves 31 of 200 images right at L∞ 0.5, where every image is allowed"
    )


def measured(name: str, attack: Attack, model: nn.Module, eps: float, steps: int | None) -> Measured:
    images, labels = small_set()
    threat = Threat("linf", eps)

    def answer(images: torch.Tensor, rows: torch.Tensor) -> Prediction:
        return Prediction(model(images), Usage(len(images), ()))

    found = attack(answer, images, labels, IDS, threat)
    right = (model(found).argmax(1) == labels).numpy()
    return Measured(name, threat.norm, threat.eps, right, steps, threat.unbounded(images.shape[1:]))


def test_a_model_that_masks_its_gradient_shows_a_sign() -> None:
    class Rounded(nn.Module):
        """Pixels are rounded, and the gradient has no direction: shattered, as a hard gate's may be."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            shattered = 1e-3 * torch.sin(1e6 * images)
            return SMALL((images * 64).round() / 64 + shattered - shattered.detach())

    def evaluated(model: nn.Module) -> list[str]:
        return signs(
            measured("fgsm", FGSM(), model, 16 / 255, 1),
            measured("pgd", PGD(steps=10), model, 16 / 255, 10),
            measured("square", Square(queries=300), model, 16 / 255, None),
            measured("pgd", PGD(steps=10), model, 0.5, 10),
        )

    assert evaluated(SMALL) == []
    assert "black-box-stronger" in evaluated(Rounded())


def test_a_ball_that_contains_every_image_leaves_no_accuracy() -> None:
    assert measured("pgd", PGD(steps=20), SMALL, 0.5, 20).unbounded
    images, labels = small_set()
    found = PGD(steps=20)(answer_of(SMALL), images, labels, IDS, Threat("linf", 0.5))
    assert not (SMALL(found).argmax(1) == labels).any()
