"""Masked attention: a dropped key is as good as gone."""

from __future__ import annotations

import pytest
import torch
from golden import Golden, family
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dynvit.ops.attention import SoftmaxForm, masked_attention, masked_softmax

FORMS: tuple[SoftmaxForm, ...] = ("exact", "published")


def drawn(seed: int, tokens: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(2, 3, tokens, 4, generator=generator, dtype=torch.float64) for _ in range(3)]


def policies(seed: int, tokens: int) -> Tensor:
    policy = (torch.rand(2, tokens, generator=torch.Generator().manual_seed(seed)) < 0.5).double()
    policy[:, 0] = 1
    return policy


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), tokens=st.integers(1, 12), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_kept_tokens_see_what_they_would_if_the_dropped_were_gone(seed: int, tokens: int, scale: float) -> None:
    q, k, v = drawn(seed, tokens, scale)
    policy = policies(seed, tokens)
    mixed = masked_attention(q, k, v, policy, scale=0.5)
    for image in range(2):
        there = policy[image].bool()
        alone = torch.nn.functional.scaled_dot_product_attention(*(t[image][:, there] for t in (q, k, v)), scale=0.5)
        torch.testing.assert_close(mixed[image][:, there], alone, rtol=1e-9, atol=1e-9)


def test_a_dropped_token_sees_itself_and_the_kept() -> None:
    logits = torch.zeros(1, 1, 3, 3)
    weights = masked_softmax(logits, torch.tensor([[1.0, 0.0, 0.0]]))[0, 0]
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_fast_path_has_the_values_and_gradients_of_the_definition(form: SoftmaxForm, scale: float) -> None:
    q, k, v = drawn(1, 9, scale)
    policy, direction = policies(2, 9), torch.randn(2, 3, 9, 4, dtype=torch.float64)
    leaves = [t.clone().requires_grad_() for t in (q, k, v, policy)]
    fast = masked_attention(*leaves[:3], leaves[3], 0.5, form)
    defined = masked_softmax(leaves[0] @ leaves[1].mT * 0.5, leaves[3], form) @ leaves[2]
    torch.testing.assert_close(fast, defined)
    for one, other in zip(*(torch.autograd.grad((t * direction).sum(), leaves) for t in (fast, defined)), strict=True):
        torch.testing.assert_close(one, other)


def test_a_dropped_key_far_above_the_kept_leaves_all_finite() -> None:
    logits = torch.zeros(1, 1, 3, 3).index_fill(3, torch.tensor([1]), 1000.0).requires_grad_()
    policy = torch.tensor([[1.0, 0.0, 1.0]], requires_grad=True)
    weights = masked_softmax(logits, policy)
    torch.testing.assert_close(weights[0, 0, 0], torch.tensor([0.5, 0.0, 0.5]))
    for gradient in torch.autograd.grad(weights[0, 0, 0, 0], [logits, policy]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("path", family("dynamicvit_softmax_with_policy"))
@pytest.mark.parametrize("case", ["mild", "peaked"])
def test_the_published_form_is_the_references(path, case: str) -> None:  # type: ignore[no-untyped-def]
    golden = Golden(path)
    ours = masked_softmax(golden[f"{case}_attn_logits"], golden[f"{case}_policy"].squeeze(-1), "published")
    torch.testing.assert_close(ours, golden[f"{case}_out_f64"], rtol=0, atol=1e-12)
