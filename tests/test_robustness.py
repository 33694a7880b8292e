"""Robustness at an operating point: what attacks do to accuracy and compute, on models of a few parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dynvit import cost
from dynvit.attacks import AttackSpec, Threat
from dynvit.attacks.apgd import APGD
from dynvit.attacks.fgsm import FGSM
from dynvit.attacks.pgd import PGD
from dynvit.attacks.square import Square
from dynvit.data.pixels import PixelBatch
from dynvit.errors import InputError
from dynvit.interface import DynamicModel, OperatingPoint, Prediction, Usage
from dynvit.measurements.robustness.gradient import check_gradient
from dynvit.measurements.robustness.under_attack import AttackResults, attack, transfer, untouched
from dynvit.measurements.robustness.variants import compute_has_gradient, variants_of
from dynvit.ops.gates import straight_through
from dynvit.testing import Subject
from dynvit_methods.dvt import DVTOptions

POINT, N = OperatingPoint(), 24


class Gated(DynamicModel):
    """A line of classes, and a hidden layer that runs only where a gate on the image is open."""

    def __init__(self, passes: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.backbone = nn.Linear(3 * 64, 4)
        self.hidden, self.gate, self.passes = nn.Linear(3 * 64, 4), nn.Linear(3 * 64, 1), passes
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            self.gate.bias.copy_(-self.gate.weight.sum() / 2)

    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        flat = images.flatten(1)
        odds = self.gate(flat)
        kept = straight_through((odds > 0).to(odds.dtype), torch.sigmoid(odds)) if self.passes else (odds > 0).float()
        usage = Usage(len(images), (cost.Linear("backbone", 1, 192, 4), cost.Linear("hidden", kept[:, 0], 192, 4)))
        return Prediction(self.backbone(flat) + kept * self.hidden(flat), usage)

    @torch.no_grad()
    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        return self(images, point)


def batches(size: int = N, order: Sequence[int] = range(N)) -> list[PixelBatch]:
    """Noise, labelled as the gated model answers it, but for every fourth."""
    images = torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = Gated().predict(images, POINT).logits.argmax(1)
    labels[::4] = (labels[::4] + 1) % 4
    rows = [list(order)[at : at + size] for at in range(0, N, size)]
    return [PixelBatch([f"image-{row}" for row in those], images[those], labels[those]) for those in rows]


def run(spec: AttackSpec, given: list[PixelBatch] | None = None, model: DynamicModel | None = None) -> AttackResults:
    return attack(model or Gated(), POINT, batches() if given is None else given, spec)


ATTACKS = {"fgsm": FGSM(), "pgd": PGD(steps=5, restarts=2), "square": Square(queries=100)}
TIGHT, WIDE = Threat("linf", 0.03), Threat("l2", 2.0)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("threat", [TIGHT, WIDE], ids=["linf", "l2"])
def test_no_image_is_right_under_attack_that_is_wrong_clean(name: str, threat: Threat) -> None:
    found = run(AttackSpec(name, ATTACKS[name], threat))
    assert not (found.right & ~found.clean_right).any()
    assert found.clean_right.sum() == N - N // 4
    assert found.right.sum() < found.clean_right.sum()


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("criterion", ["misclassify", "slowdown", "slowdown-keep-label"])
def test_a_ball_of_no_radius_is_the_clean_image(name: str, criterion: str) -> None:
    found = run(AttackSpec(name, ATTACKS[name], Threat("linf", 0.0), criterion))  # type: ignore[arg-type]
    assert (found.right == found.clean_right).all()
    assert (found.macs == found.clean_macs).all()


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("criterion", ["misclassify", "slowdown-keep-label"])
def test_neither_batch_nor_order_changes_an_image(name: str, criterion: str) -> None:
    spec = AttackSpec(name, ATTACKS[name], TIGHT, criterion)  # type: ignore[arg-type]
    whole = run(spec)
    parts = run(spec, batches(5, list(reversed(range(N)))))
    assert parts.ids != whole.ids
    first, second = whole.merged([]), parts.merged([])
    assert first.ids == second.ids
    assert (first.right == second.right).all()
    assert (first.macs == second.macs).all()


def test_processes_share_the_images_and_lose_none() -> None:
    spec = AttackSpec("pgd", ATTACKS["pgd"], TIGHT)
    every = batches(5)
    whole, even, odd = run(spec, every), run(spec, every[::2]), run(spec, every[1::2])
    merged, again = whole.merged([]), even.merged([odd])
    assert merged.ids == again.ids
    assert (merged.right == again.right).all()


def test_a_slowdown_raises_macs_and_may_keep_the_label() -> None:
    free = run(AttackSpec("pgd", PGD(steps=10), Threat("linf", 0.1), "slowdown"))
    kept = run(AttackSpec("pgd", PGD(steps=10), Threat("linf", 0.1), "slowdown-keep-label"))
    highest = 2 * 192 * 4
    assert (free.macs >= free.clean_macs).all()
    assert free.clean_macs.mean() < 0.9 * highest
    assert free.macs.mean() > 0.99 * highest
    assert kept.clean_macs.mean() < kept.macs.mean() <= free.macs.mean()
    assert (kept.right == kept.clean_right).all()  # the answer is the clean one, so it is as correct as that


def test_a_slowdown_keeps_images_of_a_cascade_from_leaving_early() -> None:
    model = Subject.of("dvt", options=DVTOptions(grids=(2, 4))).model().float()
    [batch] = batches()
    sure = model.predict(batch.images, OperatingPoint(threshold_1=1.0)).scores[0]
    point = OperatingPoint(threshold_1=float(sure.median()))
    found = attack(model, point, [batch], AttackSpec("pgd", PGD(steps=10), Threat("linf", 0.1), "slowdown"))
    first, both = model.exit_macs()
    assert set(found.clean_macs) == {first, both}
    assert (found.macs >= found.clean_macs).all()
    assert (found.macs == both).mean() > 0.8 > (found.clean_macs == both).mean()


@pytest.mark.parametrize(("criterion", "variant"), [("slowdown", "adaptive"), ("misclassify", "soft")])
def test_apgd_attacks_a_cascade_whose_confidences_are_float64(criterion: str, variant: str) -> None:
    model = Subject.of("dvt", options=DVTOptions(grids=(2, 4))).model().float()
    point = OperatingPoint(threshold_1=0.2)
    spec = AttackSpec("apgd", APGD(steps=6), Threat("linf", 0.1), criterion, variant)  # type: ignore[arg-type]
    found = attack(model, point, batches(), spec)
    assert (found.macs >= found.clean_macs).all() or criterion == "misclassify"


def test_apgd_raises_macs_as_pgd_does() -> None:
    pgd, apgd = (
        run(AttackSpec("pgd", given, TIGHT, "slowdown")).macs.mean() for given in (PGD(steps=20), APGD(steps=20))
    )
    assert apgd >= 0.97 * pgd > run(AttackSpec("pgd", PGD(steps=20), TIGHT, "slowdown")).clean_macs.mean()


def test_transfer_attacks_without_early_stopping() -> None:
    target = Gated()
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    stopped, complete = (
        transfer(
            Gated(), POINT, [(target, POINT)], batches(), AttackSpec("apgd", APGD(steps=20, early_stop=early), WIDE)
        )[0]
        for early in (True, False)
    )
    assert (stopped.right == complete.right).all()


def test_images_of_equal_cost_are_not_slowed_down() -> None:
    model = Subject.of("topk").model()
    assert variants_of(model, PGD(), "slowdown", adaptive_cost=False) == ("static",)
    assert not compute_has_gradient(model, OperatingPoint(keep_ratio=0.5), torch.rand(1, 3, 8, 8).double())
    found = untouched(Gated(), POINT, batches(7))
    assert (found.macs == found.clean_macs).all()
    assert (found.right == found.clean_right).all()


FROZEN = {
    "topk": OperatingPoint(keep_ratio=0.5),
    "random": OperatingPoint(keep_ratio=0.5),
    "dynamicvit": OperatingPoint(keep_ratio=0.5),
    "dvt": OperatingPoint(threshold_1=0.11),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_gates_keep_their_decisions_on_any_image(name: str) -> None:
    options = {"options": DVTOptions(grids=(2, 4))} if name == "dvt" else {}
    model, point = Subject.of(name, **options).model(), FROZEN[name]
    assert "frozen gates" in model.supports
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        decided = model(images, point)
        assert torch.equal(model.forward_frozen(images, point, decided).logits, decided.logits)
        other = model.forward_frozen(1 - images, point, decided)
        if decided.usage.exit is not None:
            assert torch.equal(other.usage.exit, decided.usage.exit)
    assert variants_of(model, PGD(), "misclassify", adaptive_cost=True)[-1] == "frozen"


def test_the_surrogate_logits_of_a_cascade_have_a_gradient_at_every_exit() -> None:
    model = Subject.of("dvt", options=DVTOptions(grids=(2, 4))).model()
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64).requires_grad_()
    point = OperatingPoint(threshold_1=0.0)  # all leave at the first exit
    found = model(images, point)
    soft = model.surrogate_logits(images, point, found)
    assert torch.allclose(soft.exp().sum(1), torch.ones(3, dtype=torch.float64))
    [last] = torch.autograd.grad(
        soft[:, 0].sum(), [model.exits[-1].vit.head.weight], allow_unused=True, retain_graph=True
    )
    assert last is not None
    assert last.abs().sum() > 0
    [of_logits] = torch.autograd.grad(found.logits.sum(), [model.exits[-1].vit.head.weight], allow_unused=True)
    assert of_logits is None or of_logits.abs().sum() == 0


def test_one_attack_on_a_source_evaluates_many_targets() -> None:
    source, other = Gated(), Gated()
    with torch.no_grad():
        other.hidden.weight.zero_()
    found = transfer(
        source, POINT, [(source, POINT), (other, POINT)], batches(7), AttackSpec("pgd", PGD(steps=5), TIGHT)
    )
    own = run(AttackSpec("pgd", replace(PGD(steps=5), early_stop=True), TIGHT), batches(7))
    assert (found[0].right == own.right).all()  # against itself it is the attack
    assert (found[1].right <= found[1].clean_right).all()
    assert found[1].right.sum() > found[0].right.sum()


def test_images_that_predict_still_classifies_correctly_are_attacked_to_the_end() -> None:
    """A model whose executed form is a little surer than its differentiable one, as rounding may make it."""

    class Surer(Gated):
        @torch.no_grad()
        def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
            found = self(images, point)
            clean = batches()[0]
            near = torch.cdist(images.flatten(1), clean.images.flatten(1)).argmin(1)
            bonus = 0.5 * torch.nn.functional.one_hot(clean.labels[near], 4)
            return Prediction(found.logits + bonus, found.usage)

    [batch], model, stopping = batches(), Surer(), PGD(steps=20, early_stop=True)
    threat = Threat("linf", 0.03)
    alone = stopping(lambda images, _: model(images, POINT), batch.images, batch.labels, batch.ids, threat)
    left = model.predict(alone, POINT).logits.argmax(1) == batch.labels
    found = run(AttackSpec("pgd", PGD(steps=20), threat), model=model)
    assert found.right.sum() < left.sum()


def test_a_gate_that_cuts_the_gradient_is_named() -> None:
    class Cut(Gated):
        def __init__(self) -> None:
            super().__init__()
            self.rounding = Rounding()

        def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
            return super().forward(self.rounding(images), point)

    class Rounding(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images > 0.5).float()

    images = torch.rand(1, 3, 8, 8)
    check_gradient(Gated(), POINT, images, "gated")
    check_gradient(Gated(passes=False), POINT, images, "gated")  # the other path still carries one
    with pytest.raises(InputError, match=r"'cut' gives an attack no gradient: .* beyond rounding, which cuts it"):
        check_gradient(Cut(), POINT, images, "cut")
    assert not compute_has_gradient(Gated(passes=False), POINT, images)
