"""A backbone from a name: weights fit as timm fits them, or are refused by name, and never run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import training_helpers  # noqa: F401 - one thread
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch import nn

from dynvit.backbones.build import BackboneSpec, build, describe, image_size
from dynvit.backbones.normalize import Normalize
from dynvit.backbones.vit import PlainViT
from dynvit.errors import InputError
from dynvit.files import sha256_of

DIGITS = BackboneSpec("vit_digits", num_classes=10)
WEIGHTS = Path(os.environ.get("DYNVIT_WEIGHTS", Path(__file__).parents[2] / "shared" / "weights"))
DEIT = WEIGHTS / "deit_tiny_patch16_224.safetensors"
needs_deit = pytest.mark.skipif(not DEIT.is_file(), reason=f"no {DEIT}: set DYNVIT_WEIGHTS")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(build(replace(DIGITS, seed=7)).state_dict(), path)
    return path


def same(model: nn.Module, other: nn.Module, *, without: str = "-") -> bool:
    there = other.state_dict()
    return all(torch.equal(t, there[n]) for n, t in model.state_dict().items() if not n.startswith(without))


def test_a_seed_decides_and_the_global_generator_stays(file: Path) -> None:
    before = torch.get_rng_state()
    assert same(build(DIGITS), build(DIGITS))
    assert not same(build(DIGITS), build(replace(DIGITS, seed=1)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("wrapped", ["plain", "model", "state_dict", "module.", "backbone."])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_are_read_from_what_people_save(tmp_path: Path, wrapped: str, suffix: str) -> None:
    wanted, path = build(replace(DIGITS, seed=7)), tmp_path / f"model.{suffix}"
    prefix = wrapped if wrapped.endswith(".") else ""
    state = {prefix + name: tensor for name, tensor in wanted.state_dict().items()}
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save({wrapped: state} if wrapped in ("model", "state_dict") else state, path)
    assert same(build(replace(DIGITS, weights=str(path))), wanted)
    if suffix == "safetensors":
        assert same(build(replace(DIGITS, weights=str(tmp_path))), wanted)


def test_another_grid_is_resampled_as_timm_does_it(file: Path) -> None:
    small = build(replace(DIGITS, weights=str(file)))
    large = build(replace(DIGITS, weights=str(file), image_size=12))
    expected = resample_abs_pos_embed(small.get_parameter("pos_embed"), new_size=[6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(large.get_parameter("pos_embed"), nn.Parameter(expected.detach()))
    assert same(large, small, without="pos_embed")
    assert image_size(large) == (12, 12)
    assert large(torch.rand(1, 3, 12, 12)).shape == (1, 10)


def test_another_class_count_is_refused_unless_a_new_head_is_allowed(file: Path) -> None:
    other = replace(DIGITS, num_classes=7, weights=str(file))
    with pytest.raises(InputError, match="must have 7 classes, got 10"):
        build(other)
    model = build(replace(other, new_head=True))
    assert same(model, build(replace(DIGITS, weights=str(file))), without="head")
    assert torch.equal(
        model.get_parameter("head.weight"), build(replace(other, weights=None)).get_parameter("head.weight")
    )


def test_the_config_says_what_the_model_became(file: Path) -> None:
    spec = replace(DIGITS, num_classes=7, image_size=16, mean=(0.1, 0.2, 0.3), weights=str(file), new_head=True)
    model = build(spec)
    assert Normalize.of(model) == Normalize((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    info = describe(spec, model)
    assert (info.image_size, info.num_classes, info.weights_sha256) == ((16, 16), 7, sha256_of(file))
    assert info.params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["vit_digits", "vit_cifar"])
def test_small_models_are_plain_vits_known_to_timm(name: str) -> None:
    model = timm.create_model(name)
    assert PlainViT(model).shape.classes == 10
    assert model(torch.rand(1, *model.pretrained_cfg["input_size"])).shape == (1, 10)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.path}",)


def test_a_file_that_contains_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"model": Payload(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="contains code, which is never run"):
        build(replace(DIGITS, weights=str(tmp_path / "bad.pth")))
    assert not (tmp_path / "ran").exists()


def test_wrong_input_gives_one_line(tmp_path: Path, file: Path) -> None:
    (tmp_path / "torn.safetensors").write_bytes(file.read_bytes()[:999])
    (tmp_path / "text.pth").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "bare.pth")
    faults = [
        (BackboneSpec("deit_tiny_patch16_22"), "did you mean 'deit_tiny_patch16_224'"),
        (BackboneSpec("deit_tiny_patch16_224.none"), "timm cannot make deit_tiny_patch16_224.none"),
        (BackboneSpec("vit_digits", image_size=9), "a multiple of the patch size 2 of vit_digits, got 9"),
        (replace(DIGITS, weights="nowhere.pth"), "no weights at nowhere.pth"),
        (replace(DIGITS, weights="hf://alone"), "is not hf://OWNER/REPO"),
        (replace(DIGITS, weights=str(tmp_path / "torn.safetensors")), "not a readable"),
        (replace(DIGITS, weights=str(tmp_path / "text.pth")), "not a readable"),
        (replace(DIGITS, weights=str(tmp_path / "list.pth")), "not a readable"),
        (replace(DIGITS, weights=str(tmp_path / "bare.pth")), "hold no tensors by name"),
        (BackboneSpec("vit_cifar", weights=str(file)), r"cls_token must have shape \[1, 1, 192\], got \[1, 1, 48\]"),
        (BackboneSpec("resnet18", weights=str(file)), "lack tensor conv1.weight"),
    ]
    for spec, line in faults:
        with pytest.raises(InputError, match=line) as caught:
            build(spec)
        assert "\n" not in str(caught.value)


@needs_deit
def test_deit_comes_as_timm_reads_it() -> None:
    ours = build(BackboneSpec("deit_tiny_patch16_224", weights=str(DEIT))).eval()
    theirs = timm.create_model("deit_tiny_patch16_224", pretrained=True, pretrained_cfg_overlay={"file": str(DEIT)})
    assert same(ours, theirs)
    small = build(BackboneSpec("deit_tiny_patch16_224", 64, 10, str(DEIT), new_head=True))
    assert PlainViT(small).shape.grid == (4, 4)
