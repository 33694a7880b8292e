"""What a model is given is what timm would give it, up to the normalisation that the model does itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from data_helpers import SHARED, needs_imagenet

from dynvit.data import datasets, open_split
from dynvit.data.transforms import Preprocessing, evaluation_transform, preprocessing_for, seeded, training_transform
from dynvit.errors import InputError
from dynvit.interface import Augment

DEIT = {
    "input_size": (3, 224, 224),
    "crop_pct": 0.9,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}


@needs_imagenet
@pytest.mark.parametrize(
    "changes", [{}, {"image_size": 160}, {"crop_pct": 1.0}, {"interpolation": "bilinear", "crop_pct": 0.875}]
)
def test_pixels_are_timms_before_its_normalisation(
    changes: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from timm.data import create_transform

    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path))
    source = open_split("imagenet", "validation-b", data_dir=SHARED, limit=8)
    pre = preprocessing_for(DEIT, source.spec, **changes)
    theirs = create_transform(
        pre.image_size, interpolation=pre.interpolation, crop_pct=pre.crop_pct, mean=pre.mean, std=pre.std
    )
    ours = evaluation_transform(pre)
    mean, std = torch.tensor(pre.mean)[:, None, None], torch.tensor(pre.std)[:, None, None]
    for i in range(8):
        image = source.read(i).image
        pixels = ours(image)
        assert pixels.dtype == torch.uint8
        assert torch.equal((pixels.float() / 255 - mean) / std, theirs(image))


def test_preprocessing_is_the_backbones_unless_said_otherwise() -> None:
    imagenet = datasets.get("imagenet")
    assert preprocessing_for(DEIT, imagenet) == Preprocessing(224, 0.9, "bicubic", DEIT["mean"], DEIT["std"])  # type: ignore[arg-type]
    changed = preprocessing_for(DEIT, imagenet, image_size=384, crop_pct=1.0, mean=(0.5, 0.5, 0.5))
    assert (changed.image_size, changed.crop_pct, changed.mean, changed.std) == (384, 1.0, (0.5,) * 3, DEIT["std"])


@pytest.mark.parametrize(("name", "size"), [("digits", 8), ("cifar10", 64)])
def test_small_images_lose_no_border(name: str, size: int) -> None:
    assert preprocessing_for(DEIT, datasets.get(name), image_size=size).crop_pct == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": -1}, r"1 pixel or more .* got -1 and"),
        ({"crop_pct": 1.5}, r"crop_pct in \(0, 1\], got 224 and 1.5"),
        ({"interpolation": "cubic"}, "one of nearest, bilinear, bicubic"),
    ],
)
def test_impossible_preprocessing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preprocessing_for(DEIT, datasets.get("imagenet"), **changes)


def test_a_policy_that_timm_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match=r"such as rand-m9"):
        training_transform(preprocessing_for(DEIT, datasets.get("digits")), Augment(rand_augment="autumn-m9"))


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "rand-m10-n4-inc1", "rand-m10-n4"])
def test_no_strength_of_randaugment_breaks_on_an_image(policy: str) -> None:
    transform = training_transform(
        preprocessing_for(DEIT, datasets.get("digits"), image_size=8), Augment(rand_augment=policy)
    )
    image = open_split("digits", "validation").read(0).image
    for seed in range(150):
        with seeded(seed):
            assert transform(image).shape == (3, 8, 8)
