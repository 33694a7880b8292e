"""Corruptions: the same for a sample wherever it is met, as strong as their severity says, and what they claim."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from data_helpers import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dynvit.data import open_split
from dynvit.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, select
from dynvit.data.corruptions.blur import disk
from dynvit.data.corruptions.fields import centre_zoom, motion_weights, plasma, smear, smooth_mirrored
from dynvit.data.corruptions.loading import CorruptedBatches, Corrupting, Variant, canvas, corrupting_pool
from dynvit.data.pixels import PixelBatches
from dynvit.data.transforms import Preprocessing
from dynvit.errors import InputError

SIZES = (8, 32, 64, 224)
# A PSNR that falls with severity is what most of them promise. Not all: glass trades reach for rounds, the elastic
# transform trades a global stretch for local ones, each severity of the weather is another draw of it, and the cells of
# pixelate fall on the pixels' own now better, now worse.
ORDERED = sorted(CORRUPTIONS.keys() - {"glass_blur", "elastic_transform", "frost", "fog", "snow", "pixelate"})


def scene(edge: int, seed: int = 0) -> np.ndarray:
    """A picture with smooth light, an edge and some texture."""
    rng = np.random.default_rng(seed)
    clouds = np.stack([plasma(edge, 2.2, rng)[:edge, :edge] for _ in range(3)], -1)
    clouds[:, edge // 2 :] = 0.15 + 0.6 * clouds[:, edge // 2 :]
    return np.rint(255 * (0.1 + 0.75 * clouds)).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((one.astype(float) - other) ** 2).mean(), 1e-9)))


@pytest.mark.parametrize("edge", SIZES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_keeps_what_an_image_is_and_changes_it(name: str, edge: int) -> None:
    clean = scene(edge)
    for severity in SEVERITIES:
        corrupted = corrupt(clean, name, severity, "a")
        assert (corrupted.shape, corrupted.dtype) == (clean.shape, np.uint8)
    assert (corrupt(clean, name, 5, "a") != clean).any()


@settings(deadline=None)
@given(st.sampled_from(sorted(CORRUPTIONS)), st.sampled_from(SEVERITIES), st.text(max_size=8), st.integers(0, 5))
def test_a_sample_is_corrupted_alike_wherever_it_is_met(name: str, severity: int, sample: str, seed: int) -> None:
    clean = scene(16)
    first = corrupt(clean, name, severity, sample, seed)
    corrupt(scene(16, 1), name, severity, "another", seed)
    np.random.seed(seed)  # nobody else's chance plays a part
    np.testing.assert_array_equal(first, corrupt(clean, name, severity, sample, seed))


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "fog"])
def test_another_sample_or_seed_is_another_draw(name: str) -> None:
    clean = scene(32)
    draws = [corrupt(clean, name, 5, "a"), corrupt(clean, name, 5, "b"), corrupt(clean, name, 5, "a", seed=1)]
    assert all((one != other).any() for one, other in ((draws[0], draws[1]), (draws[0], draws[2])))


@pytest.mark.parametrize("edge", [32, 224])
@pytest.mark.parametrize("name", ORDERED)
def test_a_higher_severity_is_further_from_the_image(name: str, edge: int) -> None:
    means = [
        np.mean([psnr(corrupt(scene(edge, k), name, s, str(k)), scene(edge, k)) for k in range(4)]) for s in SEVERITIES
    ]
    assert all(low >= high - 0.35 for low, high in pairwise(means)), means
    assert means[0] > means[-1] + 1


@pytest.mark.parametrize("name", ["fog", "frost", "glass_blur", "pixelate", "snow"])
def test_the_worst_severity_is_worse_than_the_least(name: str) -> None:
    for edge in (32, 224):
        first, last = (
            np.mean([psnr(corrupt(scene(edge, k), name, s, str(k)), scene(edge, k)) for k in range(6)]) for s in (1, 5)
        )
        assert last < first


def test_noise_has_the_published_moments() -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    for severity, sigma in zip((1, 2), (0.08, 0.12), strict=True):  # stronger ones are clipped at black and white
        assert (corrupt(grey, "gaussian_noise", severity, "a") / 255).std() == pytest.approx(sigma, rel=0.02)
    for severity, photons in zip((1, 2), (60, 25), strict=True):
        shot = corrupt(grey, "shot_noise", severity, "a") / 255
        assert shot.var() == pytest.approx(128 / 255 / photons, rel=0.03)
        assert shot.mean() == pytest.approx(128 / 255, abs=0.003)
    for severity, share in zip(SEVERITIES, (0.03, 0.06, 0.09, 0.17, 0.27), strict=True):
        hit = corrupt(grey, "impulse_noise", severity, "a")
        assert (hit != 128).mean() == pytest.approx(share, rel=0.04)
        assert set(np.unique(hit)) == {0, 128, 255}


def test_brightness_raises_the_value_and_keeps_hue_and_saturation() -> None:
    colour = np.full((8, 8, 3), (100, 50, 0), np.uint8)  # at 32 pixels and less: 0.05, 0.1, 0.15, 0.2, 0.3
    bright = corrupt(colour, "brightness", 4, "a")[0, 0] / 255
    assert bright.max() == pytest.approx(100 / 255 + 0.2, abs=0.003)
    assert bright[1] / bright[0] == pytest.approx(0.5, abs=0.01)
    assert bright[2] == 0
    assert (corrupt(np.zeros((8, 8, 3), np.uint8), "brightness", 4, "a") == 51).all()


def test_contrast_draws_each_channel_to_its_mean() -> None:
    clean = scene(224) / 255
    for severity, kept in zip(SEVERITIES, (0.4, 0.3, 0.2, 0.1, 0.05), strict=True):
        pale = corrupt(scene(224), "contrast", severity, "a") / 255
        np.testing.assert_allclose(pale.mean((0, 1)), clean.mean((0, 1)), atol=0.003)
        np.testing.assert_allclose(pale.std((0, 1)), kept * clean.std((0, 1)), atol=0.003)


def test_jpeg_is_pillow_at_the_published_quality(tmp_path: Path) -> None:
    for severity, quality in zip(SEVERITIES, (25, 18, 15, 10, 7), strict=True):
        Image.fromarray(scene(224)).save(tmp_path / "a.jpg", quality=quality)
        np.testing.assert_array_equal(
            corrupt(scene(224), "jpeg_compression", severity, "a"), Image.open(tmp_path / "a.jpg")
        )


def test_pixelate_leaves_so_many_cells() -> None:
    worst = corrupt(scene(224), "pixelate", 5, "a")  # a quarter of the edge: 4 x 4 cells of one colour
    cells = worst.reshape(56, 4, 56, 4, 3)
    assert (cells == cells[:, :1, :, :1]).all()


def test_blurs_leave_a_grey_image_grey() -> None:
    grey = np.full((224, 224, 3), 100, np.uint8)
    for name in ("glass_blur", "motion_blur", "zoom_blur", "elastic_transform", "pixelate", "contrast"):
        assert (np.abs(corrupt(grey, name, 5, "a").astype(int) - 100) <= 1).all(), name
    assert disk(3, 0.1).sum() == pytest.approx(1)
    assert disk(10, 0.5).sum() == pytest.approx(1, abs=0.02)


def test_the_parts_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((32, 32))
    np.testing.assert_allclose(centre_zoom(noise, 1.0), noise)
    ramp = np.linspace(0, 1, 65)[:, None] * np.ones((1, 65))
    assert centre_zoom(ramp, 2.0).std() == pytest.approx(ramp.std() / 2, rel=0.03)
    assert motion_weights(15, 5).sum() == pytest.approx(1)
    assert (np.diff(motion_weights(15, 5)) < 0).all()
    across = smear(np.eye(33), 4, 4.0, 0)
    assert across.sum(1)[8:-1] == pytest.approx(1)  # at an end, what lies on the edge is repeated
    assert (across[16] > 0).sum() == 9
    clouds = plasma(200, 2.0, rng)
    assert clouds.shape == (256, 256)
    assert (clouds.min(), clouds.max()) == (0, 1)


def test_smoothing_by_cosines_is_the_convolution() -> None:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).random((40, 24))
    for sigma in (0.7, 3.0, 30.0):
        expected = gaussian_filter(noise, sigma, mode="reflect", truncate=3)
        np.testing.assert_allclose(smooth_mirrored(noise, sigma, truncate=3), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("names", "line"), [(["fogg"], "unknown corruption 'fogg': did you mean 'fog'"), (["weathr"], "'weather'")]
)
def test_an_unknown_corruption_is_named_with_the_nearest(names: list[str], line: str) -> None:
    with pytest.raises(InputError, match=line):
        select(names)


def test_wrong_images_and_severities_are_refused() -> None:
    with pytest.raises(InputError, match="severity must be 1 to 5, got 6"):
        corrupt(scene(8), "fog", 6, "a")
    with pytest.raises(InputError, match=r"uint8 of shape \(H, W, 3\), got float64"):
        corrupt(scene(8) / 255, "fog", 1, "a")
    assert select(["blur", "fog", "defocus_blur"]) == ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "fog")


def _loaded(batch_size: int, workers: int = 0, memory_mb: int = 64, size: int = 16) -> tuple[CorruptedBatches, dict]:
    source = open_split("digits", "validation", limit=12)
    after = Preprocessing(size, 1.0, "bicubic", (0, 0, 0), (1, 1, 1))
    before = canvas(source.spec, after)
    assert before.image_size == 8  # corrupted at its native size, before it is made larger
    with corrupting_pool(workers) as pool:
        loader = CorruptedBatches(
            PixelBatches(source, before, batch_size=batch_size),
            Corrupting(Variant("glass_blur", 5), 0, before, after),
            pool=pool,
            memory_mb=memory_mb,
        )
        for _ in range(2):
            pixels = {i: image for batch in loader for i, image in zip(batch.ids, batch.images.numpy(), strict=True)}
    return loader, pixels


def test_batches_and_processes_do_not_matter_and_an_image_is_corrupted_once() -> None:
    loader, pixels = _loaded(12)
    assert loader.corrupted == 12
    assert {image.shape for image in pixels.values()} == {(3, 16, 16)}
    for other, again in (_loaded(5), _loaded(4, workers=1), _loaded(5, memory_mb=0)):
        assert again.keys() == pixels.keys()
        assert all((again[key] == pixels[key]).all() for key in pixels)
        assert other.corrupted in (12, 24)


@pytest.mark.skipif(not (SHARED / "imagenet").is_dir(), reason="no ImageNet shards")
def test_real_images_are_corrupted_after_the_crop() -> None:
    source = open_split("imagenet", "validation", data_dir=SHARED / "imagenet", limit=2, quiet=True)
    preprocessing = Preprocessing(224, 0.9, "bicubic", (0, 0, 0), (1, 1, 1))
    assert canvas(source.spec, preprocessing) == preprocessing
    for batch in CorruptedBatches(
        PixelBatches(source, preprocessing), Corrupting(Variant("fog", 3), 0, preprocessing, preprocessing)
    ):
        assert batch.images.shape == (2, 3, 224, 224)
