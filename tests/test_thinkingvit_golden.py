"""ThinkingViT against the published implementation, in float64, file by file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import Golden, family, images
from torch import Tensor

from dynvit import cost
from dynvit.interface import Batch, OperatingPoint
from dynvit.units import GIGA
from dynvit_methods.thinkingvit.counting import conventions
from dynvit_methods.thinkingvit.entropy import top_entropy
from dynvit_methods.thinkingvit.model import Recycled, ThinkingViTModel
from dynvit_methods.thinkingvit.published import _ours, from_state
from dynvit_methods.thinkingvit.recipes import mean_cross_entropy

FILES = family("thinkingvit_*")


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@lru_cache(maxsize=1)
def opened(path: Path) -> tuple[Golden, ThinkingViTModel]:
    """A file and its model, which tests that follow each other share."""
    golden = Golden(path)
    return golden, from_state(golden.weights, "golden", tuple(golden.meta["thinking_stages"]))


def pixels(model: ThinkingViTModel) -> Tensor:
    """The images before they are normalised."""
    config = model.nested.model.pretrained_cfg
    std, mean = (torch.tensor(config[name], dtype=torch.float64)[:, None, None] for name in ("std", "mean"))
    return images() * std + mean


@pytest.mark.parametrize("path", FILES)
@torch.no_grad()
def test_every_round_is_the_published_one(path: Path) -> None:
    golden, model = opened(path)
    entering: list[Tensor] = []
    hook = model.nested.vit.blocks[0].register_forward_pre_hook(lambda _, given: entering.append(given[0]))
    handed, shown, last = None, pixels(model), len(model.rounds) - 1
    for k in range(len(model.rounds)):
        logits, handed = model.run_exit(k, shown, handed, executed=True)
        close(logits, golden[f"round{k}_logits"])
        close(top_entropy(logits), golden[f"round{k}_entropy"])
        close(logits.softmax(1).amax(1), golden[f"round{k}_maxprob"])
        if isinstance(handed, Recycled):
            close(handed.tokens[..., :8], golden[f"round{k}_out_first8"])
            close(handed.tokens[..., -8:], golden[f"round{k}_out_last8"])
    hook.remove()
    [fused] = entering  # only the last round runs the blocks as they are
    close(fused[..., :8], golden[f"round{last}_in_first8"])
    close(fused[..., -8:], golden[f"round{last}_in_last8"])


@pytest.mark.parametrize("path", FILES)
@torch.no_grad()
def test_images_leave_in_the_published_rounds_at_the_published_cost(path: Path) -> None:
    golden, model = opened(path)
    shown, executed = pixels(model), golden.meta["macs_cumulative_minimal"]
    for threshold, rounds in zip(golden["gate_thresholds"].tolist(), golden["gate_exit_round"], strict=True):
        point = OperatingPoint(**{f"threshold_{k + 1}": threshold for k in range(len(model.rounds) - 1)})
        found = model.predict(shown, point)
        assert found.usage.exit is not None
        assert torch.equal(found.usage.exit, rounds)
        for image, chosen in enumerate(rounds.tolist()):
            close(found.logits[image], golden[f"round{chosen}_logits"][image])
        claimed = cost.macs(found.usage).tolist()
        assert [f"{each / GIGA:.3f}" for each in claimed] == [f"{executed[k] / GIGA:.3f}" for k in rounds.tolist()]
    assert cost.count_executed(lambda: model.predict(shown, point)) == sum(claimed)


@pytest.mark.parametrize("path", FILES)
def test_three_conventions_count_it(path: Path) -> None:
    golden, model = opened(path)
    found = conventions(model)
    assert list(found.executed) == golden.meta["macs_cumulative_minimal"]
    assert list(found.reference) == golden.meta["macs_cumulative"]
    assert found.reference[-1] == golden.meta["macs_official_forward_any_threshold"]
    if golden.meta["thinking_stages"] == [3, 6]:
        assert found.official == (1_250_000_000, 5_850_000_000)


@pytest.mark.parametrize("path", FILES)
def test_the_loss_and_its_gradients_are_the_published_ones(path: Path) -> None:
    golden, model = opened(path)
    if "train_loss" not in golden:
        pytest.skip(f"{path.stem} has no gradients")
    labels = torch.tensor(golden.meta["train_labels"])
    every = model.point_of((1.0,) * (len(model.rounds) - 1))
    targets = F.one_hot(labels, golden["round0_logits"].shape[1]).double()
    losses = mean_cross_entropy(model.train(), Batch(pixels(model), labels, targets), every)
    close(losses.total.detach(), golden["train_loss"])
    close(torch.stack(list(losses.parts.values())).detach(), golden["train_round_losses"])
    model.zero_grad()
    losses.total.backward()
    model.eval()
    parameters = dict(model.named_parameters())
    for name, wanted in zip(golden.weights, golden["train_grad_norms"], strict=True):
        if _ours(name) in parameters:
            gradient = parameters[_ours(name)].grad
            assert gradient is not None
            close(gradient.norm(), wanted)


@pytest.mark.parametrize("path", FILES)
def test_the_entropy_is_the_published_one(path: Path) -> None:
    golden = Golden(path)
    if "entropy_table" not in golden:
        pytest.skip(f"{path.stem} has no table of entropies")
    scales = golden["entropy_table_scales"]
    drawn = torch.from_numpy(np.random.RandomState(2).standard_normal((len(scales), 1000)))
    close(top_entropy(drawn * scales[:, None]), golden["entropy_table"])
