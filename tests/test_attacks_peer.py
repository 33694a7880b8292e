"""The attacks against an independent implementation of each: the adversarial-robustness-toolbox (ART)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from attack_helpers import SMALL, answer_of
from torch import Tensor, nn

from dynvit.attacks import Attack, Norm, Threat
from dynvit.attacks.apgd import APGD
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square

evasion = pytest.importorskip("art.attacks.evasion", reason="pip install adversarial-robustness-toolbox")
classification = pytest.importorskip("art.estimators.classification")

COUNT = 300
NORMS: tuple[tuple[Norm, float], ...] = (("linf", 4 / 255), ("l2", 0.15))
each_norm = pytest.mark.parametrize(("norm", "eps"), NORMS, ids=["linf", "l2"])


def peer() -> object:
    return classification.PyTorchClassifier(
        SMALL, nn.CrossEntropyLoss(), (3, 8, 8), 6, clip_values=(0.0, 1.0), device_type="cpu"
    )


def bound(norm: Norm, eps: float) -> dict[str, object]:
    return {"norm": np.inf if norm == "linf" else 2, "eps": eps, "batch_size": COUNT, "verbose": False}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """The peer draws from numpy's and torch's global state."""
    state = np.random.get_state()
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    np.random.set_state(state)


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    images = torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return images, SMALL(images).argmax(1)


def ours(attack: Attack, images: Tensor, labels: Tensor, threat: Threat) -> Tensor:
    return attack(answer_of(SMALL), images, labels, [str(i) for i in range(len(images))], threat)


def success_pct(images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return 100 * float((SMALL(images).argmax(1) != labels).double().mean())


@each_norm
def test_the_fast_gradient_is_the_same_image(norm: Norm, eps: float, photos: tuple[Tensor, Tensor]) -> None:
    images, labels = photos
    settings = {key: value for key, value in bound(norm, eps).items() if key != "verbose"}
    theirs = evasion.FastGradientMethod(peer(), **settings).generate(images.numpy(), labels.numpy())
    found = ours(FGSM(), images, labels, Threat(norm, eps))
    torch.testing.assert_close(found, torch.from_numpy(theirs), rtol=0, atol=2e-6)


@each_norm
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_projected_gradient_is_the_same_image_at_each_step(
    norm: Norm, eps: float, steps: int, photos: tuple[Tensor, Tensor]
) -> None:
    # Away from the box: the peer clips before it projects onto an L2 ball, we and most others after it.
    images = 0.2 + 0.6 * photos[0]
    labels = SMALL(images).argmax(1)
    settings = {**bound(norm, eps), "max_iter": steps, "eps_step": eps / 3, "num_random_init": 0}
    theirs = evasion.ProjectedGradientDescent(peer(), **settings).generate(images.numpy(), labels.numpy())
    attack = PGD(steps=steps, step_size=1 / 3, random_start=False, keep="last")
    found = ours(attack, images, labels, Threat(norm, eps))
    torch.testing.assert_close(found, torch.from_numpy(theirs), rtol=0, atol=5e-6)


@each_norm
def test_gradient_attacks_with_random_starts_succeed_as_often(
    norm: Norm, eps: float, photos: tuple[Tensor, Tensor]
) -> None:
    images, labels = photos
    given, threat = bound(norm, eps), Threat(norm, eps)
    pgd = evasion.ProjectedGradientDescent(peer(), **given, max_iter=20, eps_step=eps / 8, num_random_init=1)
    apgd = evasion.AutoProjectedGradientDescent(peer(), **given, max_iter=20, eps_step=2 * eps, nb_random_init=1)
    for theirs, attack in ((pgd, PGD(steps=20)), (apgd, APGD(steps=20))):
        peers = success_pct(torch.from_numpy(theirs.generate(images.numpy(), labels.numpy())), labels)
        assert 20 < peers < 90, "a set on which every attack does the same shows nothing"
        assert success_pct(ours(attack, images, labels, threat), labels) == pytest.approx(peers, abs=1.0)


@pytest.mark.slow
@each_norm
def test_square_succeeds_as_often(norm: Norm, eps: float, photos: tuple[Tensor, Tensor]) -> None:
    images, labels = photos
    eps *= 3
    theirs = evasion.SquareAttack(peer(), **bound(norm, eps), max_iter=150, p_init=0.3)
    peers = success_pct(torch.from_numpy(theirs.generate(images.numpy(), labels.numpy())), labels)
    found = success_pct(ours(Square(queries=151, area=0.3), images, labels, Threat(norm, eps)), labels)
    assert 20 < peers < 90
    # The peer never draws the last position of a window, and under L2 never changes an image whose first point is no
    # better than the clean one.
    assert found > peers - 3.0
    assert found < peers + (5.0 if norm == "linf" else 20.0)
