"""Every sample once, decoded once, and the same batches whatever the processes, workers and restarts."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import PLAIN, SHARED, needs_imagenet, numbered, picture, write_dataset, write_shard
from hypothesis import given, settings
from hypothesis import strategies as st

from dynvit.data import open_split
from dynvit.data.pixels import PixelBatches
from dynvit.data.source import ArraySource
from dynvit.data.training import TrainingBatches
from dynvit.data.transforms import Preprocessing, evaluation_transform, preprocessing_for
from dynvit.errors import InputError
from dynvit.interface import Augment

DEIT = {"input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bicubic"}
STILL = Augment(flip=0.0)
BUSY = Augment(padding=2, random_erasing=0.5, rand_augment="rand-m9-mstd0.5-inc1", crop_scale=0.3, repeats=2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))


# -- evaluation ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), batch=st.integers(1, 9), world=st.integers(1, 5))
def test_each_sample_is_seen_exactly_once_over_all_ranks(n: int, batch: int, world: int) -> None:
    source = numbered(n)
    loaders = [PixelBatches(source, PLAIN, batch_size=batch, rank=r, world=world) for r in range(world)]
    batches = [b for loader in loaders for b in loader]
    assert Counter(i for b in batches for i in b.ids) == Counter(str(i) for i in range(n))
    alone = {tuple(b.ids) for b in PixelBatches(source, PLAIN, batch_size=batch)}
    assert {tuple(b.ids) for b in batches} == alone
    for b in batches:
        assert b.images[:, 0, 0, 0].tolist() == [int(i) for i in b.ids]
        assert b.labels.tolist() == [int(i) % 10 for i in b.ids]


@needs_imagenet
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing_on_real_images(workers: int) -> None:
    source = open_split("imagenet", "validation-b", data_dir=SHARED, limit=30)
    pre = preprocessing_for(DEIT, source.spec, image_size=64)
    ranks = [PixelBatches(source, pre, batch_size=7, workers=workers, rank=r, world=2) for r in range(2)]
    seen = {i: pixels for loader in ranks for b in loader for i, pixels in zip(b.ids, b.images, strict=True)}
    transform = evaluation_transform(pre)
    assert len(seen) == 30
    assert all(torch.equal(seen[e.id], transform(e.image)) for e in map(source.read, range(30)))


def test_an_image_is_decoded_once_over_all_passes() -> None:
    loader = PixelBatches(numbered(50), PLAIN, batch_size=8)
    first, second, third = ([b.images for b in loader] for _ in range(3))
    assert loader.decoded == 50
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, second, third, strict=True))


def test_what_does_not_fit_in_memory_is_decoded_again_in_its_place() -> None:
    large = Preprocessing(300, 1.0, "bicubic", PLAIN.mean, PLAIN.std)
    loader = PixelBatches(numbered(12), large, batch_size=2, memory_mb=2)  # a batch takes 0.51 MiB
    passes = [[i for b in loader for i in b.ids] for _ in range(2)]
    assert passes[0] == passes[1] == [str(i) for i in range(12)]
    assert loader.decoded == 12 + 6


def test_a_pass_that_was_broken_off_keeps_what_it_decoded() -> None:
    loader = PixelBatches(numbered(20), PLAIN, batch_size=5)
    next(iter(loader))
    assert len([i for b in loader for i in b.ids]) == 20
    assert loader.decoded == 20


@pytest.fixture
def one_bad(tmp_path: Path) -> Path:
    samples = [(f"k{i}", i, picture(i)) for i in range(9)]
    write_shard(tmp_path / "demo-train-00.tar", [*samples, ("rotten", 9, b"no image")])
    write_shard(tmp_path / "demo-validation-00.tar", [*samples, ("rotten", 9, b"no image")])
    return tmp_path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_stops_with_one_line_or_is_skipped_and_counted(one_bad: Path, workers: int) -> None:
    source = open_split("cifar10", "validation", data_dir=one_bad)
    with pytest.raises(InputError, match=r"^shard \S+demo-validation-00\.tar, key 'rotten' cannot be decoded") as info:
        list(PixelBatches(source, PLAIN, workers=workers))
    assert "Traceback" not in str(info.value)
    source = open_split("cifar10", "validation", data_dir=one_bad, on_bad_sample="skip")
    loader = PixelBatches(source, PLAIN, batch_size=4, workers=workers)
    assert sum(len(b.ids) for _ in range(2) for b in loader) == 18
    assert list(loader.bad) == ["rotten"]


# -- training ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), batch=st.integers(1, 9), world=st.integers(1, 4), repeats=st.integers(1, 2))
def test_an_epoch_gives_each_view_once_and_each_rank_as_many_steps(
    n: int, batch: int, world: int, repeats: int
) -> None:
    augment = Augment(flip=0.0, repeats=repeats)
    ranks = [
        TrainingBatches(numbered(n), PLAIN, augment, batch_size=batch, rank=r, world=world, drop_last=False)
        for r in range(world)
    ]
    steps = [list(loader.epoch(0)) for loader in ranks]
    assert {len(s) for s in steps} == {len(ranks[0])}
    seen = Counter(round(v * 255) for s in steps for images, _ in s for v in images[:, 0, 0, 0].tolist())
    assert set(seen) == set(range(n))
    assert sum(seen.values()) - n * repeats < world  # repeated only where ranks would be left without
    assert all(len(images) for s in steps for images, _ in s)


def same(a: list[tuple[torch.Tensor, torch.Tensor]], b: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) and torch.equal(s, t) for (x, s), (y, t) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("augment", [Augment(padding=2, random_erasing=0.5), BUSY])
def test_batches_depend_on_seed_and_epoch_alone(augment: Augment) -> None:
    source = open_split("digits", "calibration")
    pre = preprocessing_for(DEIT, source.spec, image_size=16)
    loader, workers, other = (
        TrainingBatches(source, pre, augment, batch_size=32, seed=s, workers=w) for s, w in ((1, 0), (1, 2), (2, 0))
    )
    epoch = list(loader.epoch(3))
    torch.rand(7), np.random.rand(7)  # the model's own randomness must not matter, nor notice
    state = torch.get_rng_state()
    assert same(list(workers.epoch(3)), epoch)
    assert same(list(loader.epoch(3, start=2)), epoch[2:])
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(list(loader.epoch(4)), epoch)
    assert not same(list(other.epoch(3)), epoch)
    assert all(images.min() >= 0 and images.max() <= 1 for images, _ in epoch)


def test_without_augmentation_training_sees_what_evaluation_sees() -> None:
    source = open_split("digits", "calibration")
    pre = preprocessing_for(DEIT, source.spec, image_size=16)
    seen = {i: image for b in PixelBatches(source, pre) for i, image in zip(b.ids, b.images, strict=True)}
    trained = torch.cat([images for images, _ in TrainingBatches(source, pre, STILL, batch_size=143).epoch(0)])
    expected = {tuple(image.flatten().tolist()) for image in seen.values()}
    assert {tuple((image * 255).round().byte().flatten().tolist()) for image in trained} == expected


def test_digits_are_not_mirrored_and_others_are() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None], (20, 8, 8, 3)).copy()
    for flip in (True, False):
        source = numbered(20, flip=flip)
        loader = TrainingBatches(
            ArraySource(source.spec, "train", source.manifest, images=ramp), PLAIN, Augment(flip=0.5), batch_size=20
        )
        (images, _), *_ = loader.epoch(0)
        assert (images[:, 0, 0, 0] > 0).any().item() == flip


def test_a_shift_moves_content_by_at_most_the_padding() -> None:
    images = np.zeros((30, 8, 8, 3), np.uint8)
    images[:, 4, 4] = 255
    source = numbered(30)
    loader = TrainingBatches(
        ArraySource(source.spec, "train", source.manifest, images=images),
        PLAIN,
        Augment(flip=0, padding=2),
        batch_size=30,
    )
    (moved, _), *_ = loader.epoch(0)
    places = moved[:, 0].nonzero()[:, 1:] - 4
    assert len(places) == 30
    assert places.abs().max() == 2


def test_small_shards_are_decoded_once_however_many_epochs(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cifar10", {"train": 20})
    source = open_split("cifar10", "train", data_dir=folder)
    for augment, pre in ((Augment(padding=1), PLAIN), (BUSY, PLAIN)):
        loader = TrainingBatches(source, pre, augment, batch_size=6)
        epochs = [len(list(loader.epoch(e))) for e in range(3)]
        assert epochs == [18 * augment.repeats // 6] * 3
        assert loader.decoded in (18, 18 * 3 * augment.repeats)


def test_training_skips_bad_images_and_counts_them(one_bad: Path) -> None:
    options = {"data_dir": one_bad, "calibration": 1}
    with pytest.raises(InputError, match="'rotten' cannot be decoded"):
        list(TrainingBatches(open_split("cifar10", "train", **options), PLAIN, STILL, batch_size=3).epoch(0))  # type: ignore[arg-type]
    source = open_split("cifar10", "train", on_bad_sample="skip", **options)  # type: ignore[arg-type]
    for augment in (STILL, BUSY):
        loader = TrainingBatches(source, PLAIN, augment, batch_size=2, drop_last=False)
        assert sum(len(labels) for _, labels in loader.epoch(0)) == 8 * augment.repeats
        assert list(loader.bad) == ["rotten"]


def test_ranks_have_equally_many_steps_though_all_images_of_one_are_bad(one_bad: Path) -> None:
    source = open_split("cifar10", "train", data_dir=one_bad, calibration=1, on_bad_sample="skip")
    for rank in range(3):
        loader = TrainingBatches(source, PLAIN, BUSY, batch_size=1, rank=rank, world=3)
        for epoch in range(3):
            steps = list(loader.epoch(epoch))
            assert len(steps) == len(loader)
            assert all(len(images) == len(labels) == 1 for images, labels in steps)


def test_a_split_of_bad_images_alone_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "demo-train-00.tar", [(f"k{i}", i, b"no image") for i in range(4)])
    write_shard(tmp_path / "demo-validation-00.tar", [("k", 1, picture(1))])
    source = open_split("cifar10", "train", data_dir=tmp_path, calibration=1, on_bad_sample="skip")
    for augment, memory in ((STILL, 2048), (BUSY, 2048), (BUSY, 0)):
        with pytest.raises(InputError, match="must have images for a step of 1, got 3 that cannot be decoded"):
            list(TrainingBatches(source, PLAIN, augment, batch_size=1, memory_mb=memory).epoch(0))


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(InputError, match="a step must have at most the 10 images of numbered train, got 64"):
        TrainingBatches(numbered(10), PLAIN, STILL, batch_size=32, world=2)


def test_seeding_an_image_costs_no_stack_trace_and_leaves_the_random_states(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = TrainingBatches(numbered(8), PLAIN, BUSY, batch_size=8)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    # torch.manual_seed formats the stack for a GPU's sake, once an image.
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("torch.manual_seed was called"))
    (images, _), *_ = loader.epoch(0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(images, next(iter(loader.epoch(0)))[0])
