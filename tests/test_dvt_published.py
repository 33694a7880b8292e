"""Checkpoints in the released layout: read whole, and refused in one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import timm
import torch

from dynvit.errors import InputError
from dynvit.interface import OperatingPoint, PublishedCheckpoint
from dynvit.published import fetch, find
from dynvit_methods.dvt import DVT, DVTOptions, published
from dynvit_methods.dvt.cascade import Cascade


def released(model: Cascade) -> dict[str, torch.Tensor]:
    """The state dict under the released names, written out here from their description."""
    state = {}
    for prefix, exit in zip(published.PREFIXES[-len(model.exits) :], model.exits, strict=True):
        for name, value in exit.vit.state_dict().items():
            inside = "attention1" in name or "attention2" in name or "project" in name
            state[f"{prefix}.{name.replace('patch_embed', 'tokens_to_token') if inside else name}"] = value
        if exit.features is not None:
            for block in range(exit.features.blocks):
                layers = {"0": "norm", "1.fc1": "fc1", "1.fc2": "fc2"}
                for layer, ours in layers.items():
                    for kind in ("weight", "bias"):
                        name = f"{prefix}.blocks.{block}.feature_resuse_mlp.{layer}.{kind}"
                        state[name] = getattr(exit.features, f"{ours}_{kind}")[block].detach()
        if exit.relations is not None:
            for index, (weight, bias) in enumerate(zip(exit.relations.weights, exit.relations.biases, strict=True)):
                state[f"{prefix}.relation_reuse_conv.{2 * index}.weight"] = weight.detach()[0, :, :, None, None]
                state[f"{prefix}.relation_reuse_conv.{2 * index}.bias"] = bias.detach()[0, :, 0]
    return state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cascade]:
    torch.manual_seed(0)
    model = Cascade(timm.create_model("deit_tiny_patch16_224", num_classes=5), DVTOptions()).eval()
    path = tmp_path_factory.mktemp("released") / "deit.pth.tar"
    thresholds = torch.tensor([[0.9, 0.8, -1e8], [0.5, 1e8, -1e8], [1e8, 1e8, -1e8]])
    stored = {
        "model_state_dict": released(model),
        "flops": [0.3, 1.0, 2.5],
        "anytime_classification": [60.0, 65.0, 70.0],
        "dynamic_threshold": thresholds,
        "budgeted_batch_classification": [[0.5, 0.9, 2.5], [62.0, 66.0, 70.0]],
    }
    torch.save(stored, path)
    return path, model


def test_a_released_checkpoint_answers_as_it_did(checkpoint: tuple[Path, Cascade]) -> None:
    path, model = checkpoint
    found = published.load_published(str(path))
    assert [point["threshold_2"] for point in found.points] == pytest.approx([0.8, 1.0, 1.0])
    assert (found.curve_gmacs, found.curve_accuracy) == ([0.5, 0.9, 2.5], [62.0, 66.0, 70.0])
    assert (found.exit_gmacs, found.exit_accuracy) == ([0.3, 1.0, 2.5], [60.0, 65.0, 70.0])
    images, point = torch.rand(2, 3, 224, 224), OperatingPoint(threshold_1=1.0, threshold_2=1.0)
    assert torch.equal(found.model.predict(images, point).exit_logits, model.predict(images, point).exit_logits)
    loaded, point = DVT().load_published(str(path))
    assert loaded.predict(images, point).logits.shape == (2, 5)


@pytest.fixture
def server(checkpoint: tuple[Path, Cascade]) -> Iterator[str]:
    """An address of a share link's form that answers with the file."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(checkpoint[0].parent))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/deit.pth.tar?dl=1"
        server.shutdown()


def test_a_published_name_is_fetched_and_answers(server: str, tmp_path: Path, checkpoint: tuple[Path, Cascade]) -> None:
    there = PublishedCheckpoint("dvt-made-here", "deit_tiny_patch16_224", server, 50.0)
    file = fetch(there, tmp_path)
    assert file.read_bytes() == checkpoint[0].read_bytes()
    model, point = DVT().load_published(str(file))
    assert isinstance(model, Cascade)
    assert len(model.thresholds([point])[0]) == 2


def test_released_names_are_those_of_the_backbones_that_are_read() -> None:
    assert {there.backbone for there in DVT.published} <= set(published.BACKBONES.values())
    assert find(DVT(), "dvt-t2t-vit-12").url.endswith("?dl=1")
    with pytest.raises(InputError, match="did you mean 'dvt-deit-s'"):
        find(DVT(), "dvt-deit")


@pytest.mark.parametrize(
    ("features", "relations"),
    [
        ("full", "off"),
        pytest.param("off", "full", marks=pytest.mark.slow),
        pytest.param("off", "off", marks=pytest.mark.slow),
    ],
)
def test_flags_are_read_off_the_names(features: str, relations: str) -> None:
    options = DVTOptions(feature_reuse=features, relation_reuse=relations)  # type: ignore[arg-type]
    model = Cascade(timm.create_model("t2t_vit_12", num_classes=5), options)
    state = released(model)
    found = published.from_state(state, "here")
    assert (found.options.feature_reuse, found.options.relation_reuse) == (features, relations)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in model.state_dict().items())


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (Code(), "contains code, which is never run"),
        ([1, 2], "holds a list"),
        ({"state_dict": {}}, "holds no model_state_dict"),
        ({"model_state_dict": {"blocks.0.weight": 1}}, "holds no model_state_dict"),
        ({"model_state_dict": {"blocks.0.weight": torch.ones(1)}}, "lacks the exits"),
    ],
)
def test_another_file_is_refused(
    content: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pth.tar"
    torch.save(content, path)
    with pytest.raises(InputError, match=says):
        published.load_published(str(path))
    assert "must not run" not in capsys.readouterr().out


def test_a_torn_missing_or_mixed_file_is_refused(checkpoint: tuple[Path, Cascade], tmp_path: Path) -> None:
    path, model = checkpoint
    torn = tmp_path / "torn.pth.tar"
    for left in (path.read_bytes()[:1000], b"", b"a.", b"0."):
        torn.write_bytes(left)
        with pytest.raises(InputError, match=r"not a readable checkpoint|contains code"):
            published.load_published(str(torn))
    with pytest.raises(InputError, match="no file"):
        published.load_published(str(tmp_path / "none.pth.tar"))
    state = released(model)
    del state["less_token.blocks.3.feature_resuse_mlp.1.fc1.weight"]
    with pytest.raises(InputError, match=r"exits\.1\.features\.fc1_weight"):
        published.from_state(state, "mixed")
