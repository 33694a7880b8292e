"""A trained model comes back from its folder as it was, or is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_helpers import POINT, TinyModel, TinyOptions

from dynvit.backbones.build import build, describe
from dynvit.checkpoint import CheckpointConfig, TrainingConfig, load, method_config, read_config, save
from dynvit.data import datasets
from dynvit.data.transforms import preprocessing_for
from dynvit.errors import InputError
from dynvit.files import sha256_of
from dynvit.interface import DynamicModel
from dynvit.options import options_to_json
from dynvit.session.dataset import backbone_for


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, DynamicModel, CheckpointConfig]:
    dataset, options = datasets.get("digits"), TinyOptions(hidden=5)
    spec = backbone_for("vit_digits", dataset, seed=3)
    backbone = build(spec)
    info, preprocessing = describe(spec, backbone), preprocessing_for(vars(backbone)["pretrained_cfg"], dataset)
    model = TinyModel(backbone, options)
    training = TrainingConfig(
        recipe_name="none",
        recipe={},
        epochs=0,
        seed=0,
        mixed_precision="no",
        processes=1,
        train_samples=0,
        train_manifest_sha256="0" * 64,
        metrics={},
        command="",
    )
    config = CheckpointConfig(
        method=method_config("tiny", options_to_json(options)),
        backbone=spec,
        backbone_info=info,
        preprocessing=preprocessing,
        dataset=dataset.name,
        class_names=dataset.class_names,
        target=0.5,
        training=training,
        weights_sha256="0" * 64,
    )
    return tmp_path / "out", model, save(tmp_path / "out", model, config)


def test_a_model_comes_back_as_it_was(saved: tuple[Path, DynamicModel, CheckpointConfig]) -> None:
    folder, model, config = saved
    again, read = load(folder)
    assert read == config
    assert read.weights_sha256 == sha256_of(folder / "model.safetensors")
    assert not again.training
    images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(images, POINT).logits, model.eval()(images, POINT).logits)


def edit(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        body = json.loads((folder / "config.json").read_text())
        change(body)
        (folder / "config.json").write_text(json.dumps(body))

    return apply


def drop_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["branch.0.bias"] = torch.zeros(6)
    save_file(state, folder / "model.safetensors")
    edit(lambda body: body.update(weights_sha256=sha256_of(folder / "model.safetensors")))(folder)


def not_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no such thing")
    edit(lambda body: body.update(weights_sha256=sha256_of(folder / "model.safetensors")))(folder)


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "config.json").unlink(), "no checkpoint in"),
    (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "is not a checkpoint's config"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"other"), "another SHA-256"),
    (not_safetensors, "is not a safetensors file"),
    (drop_a_tensor, r"branch.0.bias must have shape \[5\], got \[6\]"),
    (edit(lambda body: body.update(format_version=3)), "format version 3, this dynvit .* reads 1 and 2"),
    (edit(lambda body: body.update(surprise=1)), "surprise"),
    (edit(lambda body: body["method"].update(name="gone", distribution="acme")), "method 'gone' of acme"),  # type: ignore[attr-defined]
    (edit(lambda body: body["method"]["options"].update(hiden=4)), "did you mean 'hidden'"),  # type: ignore[index]
]


@pytest.mark.parametrize(("fault", "line"), FAULTS)
def test_a_fault_is_said_in_one_line(
    saved: tuple[Path, DynamicModel, CheckpointConfig], fault: Callable[[Path], object], line: str
) -> None:
    fault(saved[0])
    with pytest.raises(InputError, match=line) as caught:
        load(saved[0])
    assert "\n" not in str(caught.value)


def test_a_save_that_fails_leaves_no_checkpoint(
    saved: tuple[Path, DynamicModel, CheckpointConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model, config = saved
    monkeypatch.setattr("dynvit.checkpoint.sha256_of", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(folder, model, config)
    with pytest.raises(InputError, match="no checkpoint"):
        read_config(folder)
