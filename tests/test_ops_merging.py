"""Merging tokens: mass is conserved, the class token stays alone, and places say where everything lies."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dynvit.backbones.reducing import first_of_each
from dynvit.ops.merging import Fused, Groups, bipartite_groups, joined, most_merged
from dynvit.ops.ragged import Ragged
from dynvit.ops.sampling import inverse_transform_sample
from dynvit.ops.schedule import decreasing, kept_of_current


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 40), st.data())
def test_a_matching_keeps_the_sum_of_sizes_and_of_sizes_times_tokens(tokens: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, most_merged(tokens)))
    x, sizes = drawn(3, tokens, 4), drawn(3, tokens, seed=1).abs() + 0.5
    groups = bipartite_groups(drawn(3, tokens, 5, seed=2), count)
    merged, after = groups.mean(x, sizes)
    assert merged.shape == (3, tokens - count, 4)
    torch.testing.assert_close(after.sum(1), sizes.sum(1))
    torch.testing.assert_close((merged * after.unsqueeze(-1)).sum(1), (x * sizes.unsqueeze(-1)).sum(1))
    places = groups.places(tokens)
    assert bool((places >= 0).all())
    assert torch.equal((places == 0).sum(1), torch.ones(3, dtype=torch.int64)), "the class token stays alone"
    torch.testing.assert_close(torch.zeros_like(after).scatter_add(1, places, sizes), after)


def test_the_most_similar_pairs_are_merged() -> None:
    metric = torch.eye(6, dtype=torch.float64)[None]
    metric[0, 4] = metric[0, 1] + 0.01  # at an even place, and next to the one at place 1
    assert bipartite_groups(metric, 1).sources.tolist() == [[4]]
    assert bipartite_groups(metric, 1).places(6)[0, 4] == bipartite_groups(metric, 1).places(6)[0, 1]


def test_gradients_pass_through_a_merge_and_not_through_the_choice() -> None:
    x, metric = drawn(2, 9, 3).requires_grad_(), drawn(2, 9, 3, seed=1).requires_grad_()
    groups = bipartite_groups(metric, 3)
    groups.mean(x, None)[0].square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad.abs().sum(2) > 0).all())
    assert metric.grad is None


def test_a_fused_token_is_the_weighted_sum_of_what_is_not_kept() -> None:
    x, weights = drawn(2, 6, 3), drawn(2, 6, seed=1)
    kept = torch.tensor([[0, 2], [0, 5]])
    fused = Fused(kept, weights).total(x)
    for image, rest in enumerate(([1, 3, 4, 5], [1, 2, 3, 4])):
        torch.testing.assert_close(fused[image, :2], x[image, kept[image]])
        torch.testing.assert_close(fused[image, 2], (x[image, rest] * weights[image, rest, None]).sum(0))


def test_dropped_tokens_stay_dropped_and_merged_ones_move_with_their_token() -> None:
    first = Groups(torch.tensor([[0, 1, 4, 2]]), torch.tensor([[1]])).places(5)
    assert first.tolist() == [[0, 1, 1, -1, 2]]
    second = Groups(torch.tensor([[0, 2, 1]]), torch.tensor([[1]])).places(3)
    assert joined(first, second).tolist() == [[0, 1, 1, -1, 1]]
    assert first_of_each(joined(first, second)[:, 1:]).tolist() == [[True, False, False, False]]


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_ragged_rows_come_back_as_they_were(kept: list[list[bool]]) -> None:
    mask = torch.tensor([[True, *row] for row in kept])
    ragged = Ragged.of(mask)
    assert ragged.counts.tolist() == mask.sum(1).tolist()
    rows = torch.arange(2.0 * int(mask.sum())).view(-1, 2)
    assert torch.equal(ragged.rows(ragged.spread(rows)), rows)
    starts = [sum(ragged.counts.tolist()[:image]) for image in range(len(mask))]
    assert torch.equal(ragged.first_rows(rows), rows[starts])
    fewer = ragged.present.clone()
    fewer[:, 1:] &= torch.arange(1, fewer.shape[1]) % 2 == 0
    chosen, left = ragged.only(fewer)
    assert torch.equal(left.counts, fewer.sum(1))
    assert torch.equal(rows[chosen], ragged.spread(rows)[fewer])


@given(st.integers(2, 30), st.integers(1, 60), st.integers(0, 5))
def test_a_sample_is_the_same_beside_any_padding(tokens: int, samples: int, padding: int) -> None:
    scores = drawn(1, tokens, seed=tokens).abs()
    present = torch.ones(1, tokens, dtype=torch.bool)
    alone = inverse_transform_sample(scores, present, samples)
    padded = torch.nn.functional.pad(scores, (0, padding), value=3.0)
    there = torch.nn.functional.pad(present, (0, padding))
    assert torch.equal(inverse_transform_sample(padded, there, samples)[:, :tokens], alone)
    assert 1 <= int(alone.sum()) <= min(samples, tokens)


def test_enough_samples_keep_all_tokens_but_the_least() -> None:
    scores = drawn(2, 12).abs() + 0.1
    kept = inverse_transform_sample(scores, torch.ones(2, 12, dtype=torch.bool), 10_000)
    assert kept.sum(1).tolist() == [11, 11]
    assert not kept.gather(1, scores.argmin(1, keepdim=True)).any()


def test_equal_scores_of_nothing_keep_a_token() -> None:
    for scores in (torch.zeros(1, 4), torch.ones(1, 1)):
        kept = inverse_transform_sample(scores, torch.ones_like(scores, dtype=torch.bool), 4)
        assert kept.any()


@given(st.integers(1, 300), st.floats(0.01, 1.0))
def test_shares_of_the_current_count_round_up_or_down(tokens: int, ratio: float) -> None:
    up, down = kept_of_current(tokens, ratio, "ceil"), kept_of_current(tokens, ratio, "floor")
    assert 1 <= down <= up <= down + 1
    assert up <= tokens


@given(st.integers(0, 50), st.integers(1, 24))
def test_a_decreasing_schedule_falls_and_merges_no_more_than_a_constant_one(count: int, steps: int) -> None:
    schedule = decreasing(count, steps)
    assert list(schedule) == sorted(schedule, reverse=True)
    assert count * steps - steps <= sum(schedule) <= count * steps
