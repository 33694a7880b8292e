"""Signs of gradient masking: each is found where it is present, and none in a sound evaluation."""

from __future__ import annotations

import torch
from attack_helpers import IDS, SMALL, answer_of, small_set
from torch import nn

from dynvit.attacks import Attack, Threat
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square
from dynvit.interface import Prediction, Usage
from dynvit.measurements.robustness.masking_signs import Measured, findings

SMALLER, LARGER, ALL = ("linf", 1 / 255), ("linf", 4 / 255), ("linf", 0.5)
SOUND = (
    Measured("fgsm", *SMALLER, 50.0, 1),
    Measured("pgd", *SMALLER, 40.0, 20),
    Measured("square", *SMALLER, 60.0, None),
    Measured("fgsm", *LARGER, 20.0, 1),
    Measured("pgd", *LARGER, 0.4, 20),
    Measured("pgd", "l2", 0.5, 45.0, 20),
    Measured("fgsm", *ALL, 12.0, 1, unbounded=True),
    Measured("pgd", *ALL, 0.0, 20, unbounded=True),
)


def signs(*measured: Measured, undefended: tuple[Measured, ...] = ()) -> list[str]:
    return [finding.sign for finding in findings(measured, undefended)]


def test_a_sound_evaluation_shows_none() -> None:
    assert signs(*SOUND) == []
    assert signs() == []
    assert signs(*SOUND, undefended=SOUND) == []


def test_each_sign_is_found_alone() -> None:
    assert signs(*SOUND, Measured("square", *LARGER, 0.0, None)) == []  # by chance, within the slack
    assert signs(*SOUND, Measured("square", *SMALLER, 30.0, None)) == ["black-box-stronger"]
    assert signs(*SOUND, Measured("apgd", *SMALLER, 45.0, 100)) == ["more-steps-weaker"]
    assert signs(Measured("pgd", *SMALLER, 40.0, 20), Measured("pgd", *LARGER, 47.0, 20)) == ["larger-eps-weaker"]
    assert signs(Measured("pgd", *ALL, 31.0, 20, unbounded=True)) == ["unbounded-above-zero"]
    far = (Measured("pgd", *LARGER, 35.0, 20), Measured("square", *LARGER, 90.0, None))
    assert signs(*far, undefended=(Measured("pgd", *LARGER, 0.4, 20),)) == ["above-undefended"]
    assert signs(*far, undefended=(Measured("pgd", *SMALLER, 0.4, 20),)) == []  # another threat says nothing


def test_attacks_that_are_not_comparable_show_no_sign() -> None:
    one_step = (Measured("fgsm", *SMALLER, 30.0, 1), Measured("square", *SMALLER, 10.0, None))
    assert signs(*one_step) == []
    few, many = (
        Measured("square", *ball, a, None, settings=s) for ball, a, s in ((LARGER, 60.0, "1"), (SMALLER, 30.0, "2"))
    )
    assert signs(few, many) == []


def test_each_norm_has_to_reach_zero_and_small_rises_add_up() -> None:
    other = Measured("pgd", "l2", 50.0, 0.0, 20, unbounded=True)
    assert signs(Measured("pgd", *ALL, 40.0, 20, unbounded=True), other) == ["unbounded-above-zero"]
    rising = [Measured("pgd", "linf", 0.001 * k, 20 + 0.9 * k, 20) for k in range(1, 4)]
    assert signs(*rising) == ["larger-eps-weaker"]


def test_a_finding_names_the_attacks_the_ball_and_the_accuracies() -> None:
    (found,) = findings([Measured("pgd", *LARGER, 60.0, 20), Measured("square", *LARGER, 31.25, None)])
    assert found.text == (
        "square without gradients leaves 31.2 % at L∞ 0.01569, pgd of 20 steps with them 60.0 %: the gradient misleads"
    )


def measured(name: str, attack: Attack, model: nn.Module, eps: float, steps: int | None) -> Measured:
    images, labels = small_set()
    threat = Threat("linf", eps)

    def answer(images: torch.Tensor, rows: torch.Tensor) -> Prediction:
        return Prediction(model(images), Usage(len(images), ()))

    found = attack(answer, images, labels, IDS, threat)
    accuracy = 100 * float((model(found).argmax(1) == labels).double().mean())
    return Measured(name, threat.norm, threat.eps, accuracy, steps, threat.unbounded(images.shape[1:]))


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
