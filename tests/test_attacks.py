"""Every attack: images stay in the ball, do not depend on the batch, and are as strong as theory says."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest
import torch
from attack_helpers import IDS, SMALL, answer_of, small_model, small_set
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dynvit.attacks import MISCLASSIFY, Attack, Criterion, Threat, attacks, frozen_parameters
from dynvit.attacks.apgd import APGD
from dynvit.attacks.apgd_targeted import TargetedAPGD
from dynvit.attacks.criterion import cross_entropy, margin
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.presets import PRESETS, preset
from dynvit.attacks.radius import read_eps
from dynvit.attacks.square import Square
from dynvit.errors import InputError
from dynvit.interface import Prediction
from dynvit.registry import load_plugin

ROOT = Path(__file__).parents[1]

EVERY: tuple[Attack, ...] = (
    FGSM(),
    PGD(steps=4),
    PGD(steps=3, restarts=2),
    PGD(steps=4, keep="last"),
    PGD(steps=4, early_stop=True),
    APGD(steps=6),
    TargetedAPGD(steps=4, targets=2),
    Square(queries=12),
)
NORMS = (Threat("linf", 8 / 255), Threat("l2", 0.5))
each_attack = pytest.mark.parametrize("attack", EVERY, ids=str)
each_norm = pytest.mark.parametrize("threat", NORMS, ids=str)

# Cross-entropy as both loss and score, never enough: attacks are compared by the loss that they reach.
HIGHEST_LOSS = Criterion("highest-loss", cross_entropy, cross_entropy)


@each_attack
@given(norm=st.sampled_from(["linf", "l2"]), eps=st.floats(0, 1), seed=st.integers(0, 99), side=st.integers(4, 9))
@settings(max_examples=25, deadline=None)
def test_the_images_stay_in_the_ball_and_in_the_box(attack: Attack, norm, eps: float, seed: int, side: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, 3, side, side, generator=generator).round(decimals=1)  # some pixels on the edge of the box
    eps *= 1 if norm == "linf" else 4
    model, threat = small_model(side), Threat(norm, eps)
    labels = model(images).argmax(1)
    found = attack(answer_of(model), images, labels, IDS[:3], threat)
    assert found.shape == images.shape
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (threat.distance(found, images) <= eps * (1 + 1e-5) + 1e-6).all()


@each_attack
@each_norm
def test_eps_zero_gives_the_clean_images(attack: Attack, threat: Threat) -> None:
    images, labels = small_set()
    found = attack(answer_of(SMALL), images, labels, IDS, replace(threat, eps=0.0))
    assert torch.equal(found, images)


@each_attack
@each_norm
def test_an_image_does_not_depend_on_its_batch(attack: Attack, threat: Threat) -> None:
    # float64: a batch changes the last bits of float32, and a sign may amplify that.
    images, labels = (part.double() if part.is_floating_point() else part for part in small_set())
    model = deepcopy(SMALL).double()
    together = attack(answer_of(model), images, labels, IDS, threat)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    shuffled = attack(answer_of(model), images[order], labels[order], [IDS[i] for i in order.tolist()], threat)
    alone = attack(answer_of(model), images[5:6], labels[5:6], IDS[5:6], threat)
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(alone, together[5:6], rtol=0, atol=1e-12)


@pytest.mark.parametrize("attack", [a for a in EVERY if not isinstance(a, FGSM)], ids=str)
def test_random_numbers_follow_from_the_seed_and_the_id(attack: Attack) -> None:
    images, labels = small_set()
    found = attack(answer_of(SMALL), images, labels, IDS, NORMS[0])
    again = attack(answer_of(SMALL), images, labels, IDS, NORMS[0])
    reseeded = replace(attack, seed=7)(answer_of(SMALL), images, labels, IDS, NORMS[0])
    renamed = attack(answer_of(SMALL), images, labels, [f"other-{i}" for i in IDS], NORMS[0])
    assert torch.equal(found, again)
    assert not torch.equal(found, reseeded)
    assert not torch.equal(found, renamed)


def linear_model(classes: int = 2) -> tuple[nn.Module, Tensor]:
    """Logits w·x and −w·x, and images far from the box's edges, so that the best attack has a closed form."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, classes, bias=False)).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        weight = torch.randn(1, 3 * 64, generator=generator).double() / 8
        model[1].weight.copy_(torch.cat([weight, -weight]))
    return model, (0.4 + 0.2 * torch.rand(8, 3, 8, 8, generator=generator)).double()


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=30, step_size=0.5), APGD(steps=30)], ids=str)
@each_norm
def test_the_margin_of_a_linear_model_changes_by_the_dual_norm(attack: Attack, threat: Threat) -> None:
    model, images = linear_model()
    threat = replace(threat, eps=0.02 if threat.norm == "linf" else 0.2)
    labels = model(images).argmax(1)
    found = attack(answer_of(model), images, labels, IDS[:8], threat, HIGHEST_LOSS)
    weight = 2 * model[1].weight[0]  # the margin's gradient
    moved = margin(Prediction(model(found), None), labels) - margin(Prediction(model(images), None), labels)  # type: ignore[arg-type]
    bound = threat.eps * (weight.abs().sum() if threat.norm == "linf" else weight.norm())
    torch.testing.assert_close(moved, bound.expand(8), rtol=1e-3, atol=0)
    if isinstance(attack, FGSM):
        torch.testing.assert_close(moved, bound.expand(8))


@each_norm
def test_apgd_reaches_the_loss_of_pgd_and_pgd_a_higher_one_than_one_step(threat: Threat) -> None:
    images, labels = small_set()
    threat = replace(threat, eps=3 * threat.eps)

    def loss(attack: Attack) -> float:
        found = attack(answer_of(SMALL), images, labels, IDS, threat, HIGHEST_LOSS)
        return float(cross_entropy(answer_of(SMALL)(found, labels), labels).detach().double().mean())

    one, pgd, apgd = loss(FGSM()), loss(PGD(steps=20)), loss(APGD(steps=20))
    assert one < pgd
    assert apgd >= pgd * (1 - 1e-3)


@each_norm
def test_restarts_keep_the_best(threat: Threat) -> None:
    images, labels = small_set()

    def loss(attack: Attack) -> Tensor:
        found = attack(answer_of(SMALL), images, labels, IDS, threat, HIGHEST_LOSS)
        return cross_entropy(answer_of(SMALL)(found, labels), labels).detach()

    one, four = loss(PGD(steps=2)), loss(PGD(steps=2, restarts=4))
    assert (four >= one - 1e-6).all()
    assert (four > one + 1e-4).any()


def test_an_image_that_succeeded_on_the_way_is_kept() -> None:
    images, labels = small_set()
    threat = Threat("linf", 4 / 255)
    # Steps of four radii overshoot: the last image is often no better than the first.
    overshooting = PGD(steps=7, step_size=4.0)

    def success(keep: Literal["best", "last"]) -> Tensor:
        found = replace(overshooting, keep=keep)(answer_of(SMALL), images, labels, IDS, threat)
        return margin(answer_of(SMALL)(found, labels), labels) > 0

    assert (success("best") | ~success("last")).all()


@pytest.mark.parametrize(
    ("attack", "passes"),
    [
        (FGSM(), 1),
        (PGD(steps=5), 5),
        (PGD(steps=5, keep="last"), 5),
        (PGD(steps=5, restarts=2), 12),
        (APGD(steps=5), 6),
        (Square(queries=9), 9),
    ],
    ids=str,
)
def test_an_attack_makes_as_many_passes_as_its_settings_say(attack: Attack, passes: int) -> None:
    images, labels = small_set()
    calls = []

    def counted(images: Tensor, rows: Tensor) -> Prediction:
        calls.append(images.requires_grad)
        return answer_of(SMALL)(images, rows)

    attack(counted, images, labels, IDS, Threat("linf", 1e-5))  # so small that no image succeeds
    assert len(calls) == passes
    assert not (attack.black_box and any(calls))


def test_a_successful_image_is_queried_no_more() -> None:
    images, labels = small_set()
    sizes: list[int] = []

    def counted(images: Tensor, rows: Tensor) -> Prediction:
        sizes.append(len(rows))
        return answer_of(SMALL)(images, rows)

    for attack in (PGD(steps=9, early_stop=True), APGD(steps=9, early_stop=True), Square(queries=30)):
        sizes.clear()
        attack(counted, images, labels, IDS, Threat("linf", 8 / 255))
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < sizes[0]


def test_a_criterion_other_than_a_label_is_maximised_too() -> None:
    """Brightness stands for compute: maximal within the ball, or as far as the label does not change."""
    images, labels = small_set()
    threat = Threat("linf", 16 / 255)

    def brightness(prediction: Prediction, labels: Tensor) -> Tensor:
        return prediction.usage  # type: ignore[return-value]

    def kept(prediction: Prediction, labels: Tensor) -> Tensor:
        return torch.where(margin(prediction, labels) < 0, brightness(prediction, labels), -torch.inf)

    def answer(images: Tensor, rows: Tensor) -> Prediction:
        return Prediction(SMALL(images), images.mean((1, 2, 3)))  # type: ignore[arg-type]

    free, careful = Criterion("bright", brightness, brightness), Criterion("bright-kept", brightness, kept)
    brightest = (images + threat.eps).clamp(0, 1)
    for attack in (PGD(steps=10), APGD(steps=30)):
        torch.testing.assert_close(attack(answer, images, labels, IDS, threat, free), brightest, atol=1e-3, rtol=0)
    for attack in (PGD(steps=10, restarts=2), APGD(steps=30), Square(queries=50)):
        found = attack(answer, images, labels, IDS, threat, careful)
        assert (SMALL(found).argmax(1) == labels).all()
        assert found.mean() > images.mean()
    with pytest.raises(InputError, match="must be misclassify, got bright"):
        TargetedAPGD()(answer, images, labels, IDS, threat, free)


def test_rows_are_indices_in_the_batch() -> None:
    images, labels = small_set()

    def checked(seen: Tensor, rows: Tensor) -> Prediction:
        assert (seen - images[rows]).abs().amax() <= 16 / 255 + 1e-6
        return answer_of(SMALL)(seen, rows)

    for attack in EVERY:
        attack(checked, images, labels, IDS, Threat("linf", 16 / 255))


def test_parameters_require_gradients_again_afterwards() -> None:
    model = deepcopy(SMALL)
    model[0].bias.requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()]

    def broken() -> None:
        with frozen_parameters(model):
            assert not any(p.requires_grad for p in model.parameters())
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        broken()
    assert [p.requires_grad for p in model.parameters()] == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Threat("linf", -0.1), "eps must be a radius .* got -0.1"),
        (lambda: Threat("l2", math.nan), "eps must be a radius .* got nan"),
        (lambda: Threat("l2", math.inf), "eps must be a radius .* got inf"),
        (lambda: Threat("linf", 8), r"eps must be at most 1 under linf, .* got 8: is 8/255 meant\?"),
        (lambda: Threat("linf", 1000), "eps must be at most 1 under linf, .* got 1000$"),
        (
            lambda: _run(threat=Threat("l2", 14)),
            "eps must be at most 13.86 under l2 for images of 3 x 8 x 8, .* got 14",
        ),
        (lambda: read_eps("0"), "eps must be a radius above 0, .* got 0$"),
        (lambda: read_eps("0/255"), "eps must be a radius above 0, .* got 0/255"),
        (lambda: read_eps("1e400"), "eps must be a radius above 0, .* got 1e400"),
        (lambda: read_eps("8"), "eps must be at most 1 under linf"),
        (lambda: Threat("l1", 0.1), "unknown norm 'l1'"),  # type: ignore[arg-type]
        (lambda: PGD(steps=0), "steps and restarts of pgd must be 1 or more, got 0"),
        (lambda: PGD(step_size=0.0), "fraction of eps above 0, got 0"),
        (lambda: PGD(restarts=2, random_start=False), "must be 1 without random_start, got 2"),
        (lambda: PGD(restarts=2, keep="last"), "neither restarts nor early_stop"),
        (lambda: APGD(restarts=0), "restarts of apgd must be 1 or more, got 0"),
        (lambda: APGD(rho=2.0), r"momentum of apgd must be in \(0, 1\] and rho in \[0, 1\], got 0.75 and 2"),
        (lambda: TargetedAPGD(targets=0), "targets of apgd-t must be 1 or more, got 0"),
        (lambda: Square(queries=0), "queries of square must be 1 or more, got 0"),
        (lambda: Square(area=1.5), r"fraction of the image in \(0, 1\], got 1.5"),
        (lambda: preset("imagenet"), "unknown attack preset 'imagenet'"),
        (lambda: _run(images=small_set()[0] * 255), r"floats in \[0, 1\]"),
        (lambda: _run(labels=torch.zeros(2, dtype=torch.long)), "2 labels"),
        (lambda: _run(answer=lambda images, rows: answer_of(SMALL)(images.detach(), rows)), "no gradient .* hard gate"),
        (lambda: _run(answer=lambda images, rows: answer_of(SMALL)((images > 0.5).float(), rows)), "no gradient"),
        (
            lambda: _run(TargetedAPGD(), answer_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))),
            "or more, got 3",
        ),
    ],
)
def test_wrong_input_is_one_line(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        wrong()


def _run(
    attack: Attack = FGSM(),  # noqa: B008
    answer=None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    threat: Threat = NORMS[0],
) -> None:
    pixels, classes = small_set()
    attack(
        answer or answer_of(SMALL),
        pixels if images is None else images,
        classes.clamp_max(1) if labels is None else labels,
        IDS,
        threat,
        MISCLASSIFY,
    )


def test_each_attack_is_found_by_its_name() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["dynvit.attacks"]
    found = {name: EntryPoint(name, target, "dynvit.attacks").load() for name, target in named.items()}
    assert {type(attack) for attack in EVERY} == set(found.values())
    assert all(issubclass(attack, Attack) and attack.summary for attack in found.values())
    assert {spec.name for given in PRESETS.values() for spec in given.specs} <= found.keys()
    assert all(type(t.attack) is found[t.name] for given in PRESETS.values() for t in given.specs)


def test_the_attack_in_the_documentation_works(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), flags=re.DOTALL)
    (code,) = [block for block in blocks if "@register_attack" in block]
    (tmp_path / "noise.py").write_text(code)
    load_plugin(tmp_path / "noise.py")
    images, labels = small_set()
    found = attacks.get("noise")()(answer_of(SMALL), images, labels, IDS, NORMS[1])
    assert 0 < NORMS[1].distance(found, images).max() <= NORMS[1].eps + 1e-6


def test_the_largest_radius_is_one_that_every_image_is_within() -> None:
    images, labels = small_set()
    for threat in (Threat("linf", 1.0), Threat("l2", math.sqrt(3 * 64))):
        found = FGSM()(answer_of(SMALL), images, labels, IDS, threat)
        assert (threat.distance(found, images) <= threat.eps).all()


def test_presets_have_the_radii_of_the_field() -> None:
    radii = sorted({spec.threat.eps for spec in PRESETS["imagenet-linf"].specs})
    assert radii == [k / 255 for k in (0.25, 0.5, 1, 2, 4)]
    assert {(t.name, t.threat) for t in PRESETS["mia-paper"].specs} == {
        ("pgd", Threat("linf", 0.002)),
        ("fgsm", Threat("l2", 0.03)),
    }
    assert {t.threat for t in PRESETS["cifar-linf"].specs} == {Threat("linf", 8 / 255)}
    assert {t.threat for t in PRESETS["cifar-l2-strong"].specs} == {Threat("l2", 0.5)}


@pytest.mark.parametrize("module", ["dynvit.attacks.radius", "dynvit.measurements.robustness.masking_signs"])
def test_what_configurations_and_reports_import_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
