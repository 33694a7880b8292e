"""Choosing and packing tokens."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynvit.ops.tokens import gather_tokens, keep_patches, mask_of, top_k


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), patches=st.integers(1, 20), data=st.data())
def test_the_best_are_kept_in_raster_order_with_the_class_token(seed: int, patches: int, data) -> None:  # type: ignore[no-untyped-def]
    count = data.draw(st.integers(1, patches))
    generator = torch.Generator().manual_seed(seed)
    tokens, scores = torch.randn(3, patches + 1, 2, generator=generator), torch.rand(3, patches, generator=generator)
    positions = top_k(scores, count)
    kept = keep_patches(tokens, positions)
    assert positions.tolist() == [sorted(row.argsort(descending=True)[:count].tolist()) for row in scores]
    for image in range(3):
        assert torch.equal(kept[image], tokens[image][[0, *(1 + positions[image]).tolist()]])


def test_only_what_is_left_is_chosen_however_high_the_rest_scores() -> None:
    scores = torch.tensor([[9.0, 1.0, 8.0, 2.0]])
    left = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    assert torch.equal(mask_of(top_k(scores, 2, among=left), scores), left)


def test_each_gathered_token_gets_its_own_gradient() -> None:
    tokens = torch.zeros(2, 3, 1, requires_grad=True)
    gather_tokens(tokens, torch.tensor([[2, 0], [1, 1]])).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.flatten().tolist() == [1, 0, 1, 0, 2, 0]
