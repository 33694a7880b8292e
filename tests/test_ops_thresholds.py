"""Gates at a threshold other than one half, and the path of thresholds to a budget."""

from __future__ import annotations

import math

import pytest
import torch

from dynvit.ops.threshold_path import LEAST_SHARE, ThresholdPath
from dynvit.ops.thresholds import log_odds, open_above, sampled_gate, threshold_gate


@pytest.mark.parametrize(("threshold", "temperature"), [(0.5, 1.0), (0.6, 5.0), (0.9, 0.5)])
def test_a_sampled_gate_opens_as_often_as_logistic_noise_lifts_it(threshold: float, temperature: float) -> None:
    torch.manual_seed(0)
    gate = sampled_gate(torch.full((40_000,), 0.3), threshold, temperature)
    assert set(gate.unique().tolist()) <= {0.0, 1.0}
    wanted = torch.tensor(0.3 - temperature * log_odds(threshold)).sigmoid()
    assert float(gate.mean()) == pytest.approx(float(wanted), abs=0.01)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.6, 1.0])
def test_a_gate_without_noise_is_open_above_its_threshold_and_passes_a_gradient(threshold: float) -> None:
    logits = torch.linspace(-3, 3, 13, requires_grad=True)
    gate = threshold_gate(logits, threshold, 1.0)
    gate.sum().backward()
    assert torch.equal(gate.bool(), open_above(logits, threshold))
    assert torch.equal(gate.bool(), (logits.sigmoid() > threshold) & (threshold < 1))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_path_goes_from_keeping_all_over_what_was_trained_to_dropping_all() -> None:
    torch.manual_seed(0)
    trained = {"heads": 0.5, "tokens": 0.6}
    logits = {"heads": torch.randn(1000), "tokens": torch.randn(1000) + 1}
    batches = [[{name: rows[:500] for name, rows in logits.items()}, {"heads": logits["heads"][500:], "tokens": None}]]
    path = ThresholdPath.of(batches, trained)
    assert path.thresholds(0) == {"heads": 0.0, "tokens": 0.0}
    assert path.thresholds(1) == trained
    assert path.thresholds(math.inf) == {"heads": 1.0, "tokens": 1.0}
    for name, rows in (("heads", logits["heads"]), ("tokens", logits["tokens"][:500])):
        kept = float(open_above(rows, trained[name]).double().mean())
        for strength in (0.5, 2.0, 3.0):
            left = float(open_above(rows, path.thresholds(strength)[name]).double().mean())
            assert left == pytest.approx(kept**strength, abs=0.002)


def test_a_dimension_that_training_kept_whole_can_be_dropped_too() -> None:
    path = ThresholdPath({"heads": torch.linspace(5, 9, 100)}, {"heads": 0.5})
    kept = [int(open_above(torch.linspace(5, 9, 100), path.thresholds(s)["heads"]).sum()) for s in (0.5, 2.0, 40.0)]
    assert kept == [round(100 * (1 - LEAST_SHARE) ** s) for s in (0.5, 2.0, 40.0)]
