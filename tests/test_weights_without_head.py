"""Weights of a pre-training: without a head, under prefixes and beside a decoder; trained on, never measured so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from training_helpers import request

from dynvit.backbones.build import BackboneSpec, build, describe, pretrained_weights
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.request import SessionRequest
from dynvit.session import open_session
from dynvit.training.run import train_to

DIGITS = BackboneSpec("vit_digits", num_classes=10, seed=5)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def body() -> State:
    """A backbone without its head."""
    state = build(replace(DIGITS, seed=1)).state_dict()
    return {name: value for name, value in state.items() if not name.startswith("head")}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def decoder() -> State:
    return {
        "mask_token": torch.ones(1, 1, 48),
        "decoder_embed.weight": torch.ones(4, 48),
        "decoder_pos_embed": torch.ones(3),
    }


def other(state: State) -> State:
    return {name: torch.zeros_like(value) for name, value in state.items()}


def projection() -> State:
    return {"head.mlp.0.weight": torch.ones(8, 48), "head.last_layer.weight_v": torch.ones(4, 8)}


FORMS: dict[str, Callable[[State], object]] = {
    "bare": lambda s: s,
    "MAE: a decoder beside it": lambda s: {"model": {**s, **decoder()}},
    "DINO: teacher and student": lambda s: {
        "student": prefixed(other(s), "module.backbone."),
        "teacher": prefixed(s, "backbone.") | projection(),
        "epoch": 100,
    },
    "MoCo: two encoders": lambda s: {
        "state_dict": prefixed({**s, "head.0.weight": torch.ones(8, 48)}, "module.momentum_encoder.")
        | prefixed(other(s), "module.base_encoder.")
        | {"module.queue": torch.ones(3)}
    },
    "iBOT: teacher in one dict with the student": lambda s: (
        prefixed(s, "teacher.backbone.") | prefixed(other(s), "student.backbone.")
    ),
    "an encoder": lambda s: {"encoder": s, "optimizer": {"state": {}}},
    "lightning": lambda s: {"state_dict": prefixed(s, "encoder."), "pytorch-lightning_version": "2"},
    "its norm by the other name": lambda s: {
        name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: v for name, v in s.items()
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_weights_without_a_head_start_a_training_and_nothing_else(
    form: Callable[[State], object], body: State, tmp_path: Path
) -> None:
    file = tmp_path / "pretrained.pth"
    torch.save(form(body), file)
    spec = replace(DIGITS, weights=str(file))
    with pytest.raises(InputError, match=r"have no head.*dynvit train --method dense"):
        build(spec)
    with pytest.warns(UserWarning, match="have no head: it is drawn by the seed"):
        model = build(replace(spec, new_head=True)).state_dict()
    drawn = build(DIGITS).state_dict()
    for name, value in model.items():
        assert torch.equal(value, drawn[name] if name.startswith("head") else body[name]), name


def test_levits_head_with_its_norm_may_be_absent(tmp_path: Path) -> None:
    spec = BackboneSpec("levit_cifar", num_classes=10)
    state = {name: v for name, v in build(spec).state_dict().items() if not name.startswith("head")}
    save_file(state, tmp_path / "levit.safetensors")
    with pytest.warns(UserWarning, match="have no head"):
        build(replace(spec, weights=str(tmp_path / "levit.safetensors"), new_head=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s | {"blocks.6.norm1.weight": torch.ones(48)}, "another architecture"),
        (
            lambda s: {name: v for name, v in s.items() if name != "blocks.2.attn.proj.bias"},
            "lack tensor blocks.2.attn.proj",
        ),
        (lambda s: s | {"norm.weight": torch.ones(49)}, "norm.weight must have shape"),
        (lambda s: prefixed(s, "a.") | {"b.blocks.0.norm1.weight": torch.ones(48)}, None),
        (lambda s: {"epoch": 3, "nested": {"deeper": {}}}, "hold no tensors by name"),
    ],
)
def test_another_architecture_stays_another(
    change: Callable[[State], object], says: str | None, body: State, tmp_path: Path
) -> None:
    file = tmp_path / "other.pth"
    torch.save(change(dict(body)), file)
    spec = replace(DIGITS, weights=str(file), new_head=True)
    if says is None:
        with pytest.warns(UserWarning, match="have no head"):
            build(spec)
        return
    with pytest.raises(InputError, match=says):
        build(spec)


def test_a_training_from_them_is_a_checkpoint_like_any(body: State, tmp_path: Path) -> None:
    save_file(body, tmp_path / "body.safetensors")
    asked = request("digits", method="dense", epochs=1, weights=str(tmp_path / "body.safetensors"))
    with pytest.warns(UserWarning, match="have no head"):
        made = train_to(tmp_path / "out", asked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(replace(DIGITS, weights=str(made)))


def test_pretrained_means_timms_own_weights_and_records_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, asked = tmp_path / "model.safetensors", []
    save_file(build(BackboneSpec("deit_tiny_patch16_224")).state_dict(), file)

    def download(repo: str, name: str) -> str:
        asked.append((repo, name))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    session = open_session(SessionRequest(dataset="imagenet", backbone="deit_tiny_patch16_224", weights="pretrained"))
    assert session.request.weights == session.backbone.weights == "hf://timm/deit_tiny_patch16_224.fb_in1k"
    info = describe(session.backbone, build(session.backbone))
    assert (info.weights_uri, info.weights_sha256) == (session.backbone.weights, sha256_of(file))
    assert set(asked) == {("timm/deit_tiny_patch16_224.fb_in1k", "model.safetensors")}


def test_pretrained_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(repo: str, name: str) -> str:
        raise OSError("We couldn't connect to 'https://huggingface.co'\nand more")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    session = open_session(SessionRequest(dataset="imagenet", weights="pretrained"))
    with pytest.raises(InputError, match=r"cannot fetch model.safetensors of timm/.*couldn't connect.*check the name"):
        build(session.backbone)
    with pytest.raises(InputError, match="timm has no weights of its own for vit_digits"):
        open_session(SessionRequest(dataset="digits", weights="pretrained"))


def test_a_tag_chooses_among_timms_weights() -> None:
    tagged = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    assert pretrained_weights(tagged) == f"hf://timm/{tagged}"
    assert pretrained_weights("vit_small_patch16_224.no_such_tag") is None
    assert pretrained_weights("no_such_backbone") is None
