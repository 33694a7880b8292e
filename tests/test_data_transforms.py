"""What a model is given is what timm would give it, up to the normalisation that the model does itself."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from data_helpers import SHARED, needs_imagenet
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dynvit.data import datasets, open_split
from dynvit.data.transforms import Preprocessing, evaluation_transform, preprocessing_for, seeded, training_transform
from dynvit.errors import InputError
from dynvit.interface import Augment
from dynvit.leaderboard.record import canonical
from dynvit.session.open_model import OpenModel

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


CONFIGS = [config.to_dict() for config in timm.models._registry._model_pretrained_cfgs.values()]


def cut(config: dict[str, Any]) -> tuple[Any, ...]:
    """The fields of a timm config that change pixels."""
    return tuple(str(config.get(name)) for name in ("input_size", "crop_pct", "crop_mode", "interpolation", "mean"))


def test_every_config_of_timm_gives_timms_pixels_or_is_refused_by_name() -> None:
    from timm.data import create_transform, resolve_data_config

    different = {cut(config): config for config in CONFIGS}
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)).resize((125, 75))
    compared = 0
    for config in different.values():
        if config["input_size"][1] > 300:  # the same rules, and slow: smaller in place of large
            config = config | {"input_size": (3, 100, 100)}
        if config["input_size"][1] != config["input_size"][2] or config["crop_pct"] > 1:
            with pytest.raises(InputError, match=r"square|crop_pct"):
                preprocessing_for(config, datasets.get("imagenet"))
            continue
        made = preprocessing_for(config, datasets.get("imagenet"))
        theirs = create_transform(**resolve_data_config({}, pretrained_cfg=config), normalize=False)(noise)
        assert torch.equal(evaluation_transform(made)(noise), theirs), config
        compared += 1
    assert compared > 100


@settings(max_examples=60, deadline=None)
@given(
    crop_mode=st.sampled_from([None, "center", "squash", "border"]),
    crop_pct=st.one_of(st.none(), st.floats(0.5, 1)),
    interpolation=st.sampled_from([None, "nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]),
    edge=st.integers(8, 40),
    mean=st.sampled_from([(0.5, 0.5, 0.5), (0.48, 0.457, 0.408), (0.0, 0.0, 0.0), (1.0, 0.2, 0.0)]),
    size=st.tuples(st.integers(5, 70), st.integers(5, 70)),
)
def test_any_mix_of_timms_fields_gives_timms_pixels(size: tuple[int, int], edge: int, **config: Any) -> None:
    from timm.data import create_transform, resolve_data_config

    config |= {"input_size": (3, edge, edge), "std": (0.2, 0.2, 0.2)}
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    made = preprocessing_for(config, datasets.get("imagenet"))
    theirs = create_transform(**resolve_data_config({}, pretrained_cfg=config), normalize=False)(image)
    assert torch.equal(evaluation_transform(made)(image), theirs)
    # Training without a random crop is cut alike.
    still = training_transform(made, Augment(flip=0.0, rand_augment="rand-m0-n1-p0"))
    assert torch.equal(still(image), theirs)


def test_timm_has_no_field_that_we_do_not_know() -> None:
    from timm.data import resolve_data_config

    known = {"input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode"}
    assert resolve_data_config({}, pretrained_cfg=DEIT).keys() == known


def test_a_field_that_would_be_lost_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm.data

    resolved = timm.data.resolve_data_config({}, pretrained_cfg=DEIT)
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda *_, **__: resolved | {"crop_border_pixels": 4})
    with pytest.raises(InputError, match="crop_border_pixels, which would be lost"):
        preprocessing_for(DEIT, datasets.get("imagenet"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crop_mode", "fit", "crop_mode must be one of center, squash, border, got 'fit'"),
        ("interpolation", "random", "interpolation must be one of"),
        ("crop_pct", 1.15, r"crop_pct in \(0, 1\], got 224 and 1.15"),
        ("mean", (0.5,), "mean must be three numbers"),
        ("std", (0.2, 0.2, 0.0), "std above 0"),
        ("mean", (123.0, 117.0, 104.0), r"mean must be in \[0, 1\]"),
        ("input_size", (3, 1024, 768), "square images of 3 channels"),
        ("input_size", (1, 28, 28), "square images of 3 channels"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused_by_the_field(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        preprocessing_for(DEIT | {field: value}, datasets.get("imagenet"))


def test_a_record_says_how_images_were_fitted_only_where_they_were_not_cropped() -> None:
    made = preprocessing_for(DEIT, datasets.get("imagenet"))
    for mode, said in (("center", None), ("squash", "squash"), ("border", "border")):
        given = SimpleNamespace(preprocessing=replace(made, crop_mode=mode))
        record = OpenModel.preprocessing_record(given)  # type: ignore[arg-type]
        assert record.crop_mode == said
        assert ("crop_mode" in canonical(record.model_dump(mode="json"))) == (said is not None)  # type: ignore[operator]


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
