"""Auto-PGD is algorithm 1 of Croce & Hein 2020: against a transcription of it, one image at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from attack_helpers import SMALL, answer_of
from torch import Tensor

from dynvit.attacks import Criterion, Norm, Threat
from dynvit.attacks.apgd import APGD, checkpoints
from dynvit.attacks.apgd_targeted import TargetedAPGD
from dynvit.attacks.criterion import cross_entropy
from dynvit.attacks.draws import draws
from dynvit.attacks.pgd import PGD

MODEL = deepcopy(SMALL).double()  # signs of float32 gradients near zero would part the two
HIGHEST_LOSS = Criterion("highest-loss", cross_entropy, cross_entropy)
COUNT = 8


def images_and_answers() -> tuple[Tensor, Tensor]:
    images = torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        return images, MODEL(images).argmax(1)


def project(image: Tensor, clean: Tensor, threat: Threat) -> Tensor:
    if threat.norm == "linf":
        image = image.clamp(clean - threat.eps, clean + threat.eps)
    elif (length := (image - clean).norm()) > threat.eps:
        image = clean + (image - clean) * threat.eps / length
    return image.clamp(0, 1)


def algorithm_1(
    loss: Callable[[Tensor], tuple[float, Tensor]], clean: Tensor, start: Tensor, threat: Threat, steps: int
) -> tuple[Tensor, int]:
    """The image of the highest loss, and how often the step was halved. In the names of the paper."""

    def ascent(x: Tensor, eta: float, gradient: Tensor) -> Tensor:
        direction = gradient.sign() if threat.norm == "linf" else gradient / gradient.norm()
        return project(x + eta * direction, clean, threat)

    alpha, rho, eta, halvings = 0.75, 0.75, 2 * threat.eps, 0
    f, gradient = loss(start)
    before, x = start, ascent(start, eta, gradient)
    f_before, (f, gradient) = f, loss(x)
    x_max, f_max, g_max = (x, f, gradient) if f > f_before else (start, f_before, loss(start)[1])
    rises, w, kept, f_max_at_w = int(f > f_before), [0, *checkpoints(steps)], False, f_before
    for k in range(1, steps):  # x is x^(k), before is x^(k-1)
        z = ascent(x, eta, gradient)
        after = project(x + alpha * (z - x) + (1 - alpha) * (x - before), clean, threat)
        f_before, (f, gradient) = f, loss(after)
        rises += int(f > f_before)
        if f > f_max:
            x_max, f_max, g_max = after, f, gradient
        before, x = x, after
        if k + 1 in w:
            period = k + 1 - w[w.index(k + 1) - 1]
            if rises < rho * period or (kept and f_max_at_w == f_max):
                eta, x, f, gradient, kept, halvings = eta / 2, x_max, f_max, g_max, False, halvings + 1
            else:
                kept = True
            rises, f_max_at_w = 0, f_max
    return x_max, halvings


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 2, 7, 30, 61])
def test_every_image_is_that_of_the_algorithm(norm: Norm, steps: int) -> None:
    images, labels = images_and_answers()
    threat, ids = Threat(norm, 0.05 if norm == "linf" else 0.6), [str(i) for i in range(COUNT)]
    found = APGD(steps=steps)(answer_of(MODEL), images, labels, ids, threat, HIGHEST_LOSS)
    starts = threat.start(images, draws(ids, 0, "start", 0))
    halved = 0
    for row in range(COUNT):

        def loss(x: Tensor, row: int = row) -> tuple[float, Tensor]:
            x = x.detach().requires_grad_()
            value = torch.nn.functional.cross_entropy(MODEL(x[None]), labels[row : row + 1])
            return float(value), torch.autograd.grad(value, x)[0]

        expected, halvings = algorithm_1(loss, images[row], starts[row], threat, steps)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-12)
        halved += halvings
    assert halved > 0 or steps < 7, "a run without a halving says nothing of the momentum after one"


def test_a_changed_algorithm_has_another_revision_than_its_first() -> None:
    assert (APGD.revision, TargetedAPGD.revision, PGD.revision) == (2, 2, 1)


def test_checkpoints_are_those_of_the_paper() -> None:
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    assert list(checkpoints(100)) == [math.ceil(round(100 * share, 9)) for share in shares[1:] if share <= 1]
