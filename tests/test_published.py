"""Published checkpoints: fetched from a server on this machine, read in their authors' layout."""

from __future__ import annotations

import argparse
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import timm
import torch

from dynvit.backbones.build import BackboneSpec, build
from dynvit.cli import main
from dynvit.data import datasets
from dynvit.data.transforms import preprocessing_for
from dynvit.errors import InputError
from dynvit.interface import PublishedCheckpoint
from dynvit.leaderboard.store import RunStore
from dynvit.published import fetch, find
from dynvit_methods.dynamicvit import DynamicViT, DynamicViTModel, DynamicViTOptions
from dynvit_methods.dynamicvit.checkpoints import OURS, THEIRS


class Handler(SimpleHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if self.path == "/short.pth":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def a_model() -> DynamicViTModel:
    torch.manual_seed(0)
    backbone = timm.create_model(
        "deit_small_patch16_224", img_size=32, patch_size=8, embed_dim=128, depth=4, num_heads=2, num_classes=7
    )
    return DynamicViTModel(backbone, DynamicViTOptions(keep_ratio=0.6)).eval()


def in_their_layout(model: DynamicViTModel) -> dict[str, torch.Tensor]:
    return {
        THEIRS + name.removeprefix(OURS) if name.startswith(OURS) else name.removeprefix("backbone."): tensor
        for name, tensor in model.state_dict().items()
    }


def entry(url: str, name: str = "made-here") -> PublishedCheckpoint:
    return PublishedCheckpoint(name, "deit_small_patch16_224", url, 50.0)


def test_a_published_file_is_fetched_once_recorded_and_read(tmp_path: Path, server: str) -> None:
    model = a_model()
    file = tmp_path / "served" / "made.pth"
    arguments = argparse.Namespace(base_rate=0.6, output_dir="out", lr=1e-3)
    torch.save({"model": in_their_layout(model), "args": arguments, "epoch": 29}, file)
    Handler.asked = 0
    path = fetch(entry(f"{server}/made.pth"), tmp_path / "cache")
    assert fetch(entry(f"{server}/made.pth"), tmp_path / "cache") == path
    assert Handler.asked == 1
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (path.parent / f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"

    loaded, point = DynamicViT().load_published(str(path))
    assert point["keep_ratio"] == 0.6
    made = preprocessing_for(vars(loaded.backbone)["pretrained_cfg"], datasets.get("imagenet"))
    assert (made.image_size, made.crop_pct) == (32, 224 / 256), "their authors resize to 256 for 224"
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.predict(images, point).logits, model.predict(images, point).logits)

    path.write_bytes(b"damaged since")
    assert hashlib.sha256(fetch(entry(f"{server}/made.pth"), tmp_path / "cache").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("page", "message"),
    [("missing.pth", "cannot fetch made-here .*not found"), ("short.pth", "4 of 100"), ("page.html", "web page")],
)
def test_a_fetch_that_fails_says_why_and_leaves_nothing(tmp_path: Path, server: str, page: str, message: str) -> None:
    (tmp_path / "served" / "page.html").write_text("<html>Too big to scan for viruses. Go on?</html>")
    with pytest.raises(InputError, match=message):
        fetch(entry(f"{server}/{page}"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_file_of_this_machine_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only http and https"):
        fetch(entry("file:///etc/hostname"), tmp_path)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_file_that_asks_for_code_to_be_run_is_refused_unrun(tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"model": in_their_layout(a_model()), "args": Evil(marker)}, file)
    with pytest.raises(InputError, match=r"contains code, which is never run") as caught:
        DynamicViT().load_published(str(file))
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_files_of_another_layout_are_refused_by_name(tmp_path: Path) -> None:
    state = in_their_layout(a_model())
    backbone_only = {name: tensor for name, tensor in state.items() if not name.startswith(THEIRS)}
    other_predictor = state | {f"{THEIRS}0.out_conv.4.weight": torch.zeros(3, 32)}
    missing_block = {name: tensor for name, tensor in state.items() if not name.startswith("blocks.2.")}
    cases = {
        "backbone's, to be given with --weights": {"model": backbone_only},
        "holds no weights under 'model'": {"epoch": 3},
        "LV-ViT, which is not read": {"model": state | {"aux_head.weight": torch.zeros(1)}},
        r"predictors\.0\.out_conv\.4\.weight must have shape .*, got \[3, 32\]": {"model": other_predictor},
        r"lack tensor backbone\.blocks\.2": {"model": missing_block},
        "does not have a DeiT's tensors": {"model": {f"{THEIRS}0.x": torch.zeros(1)}},
    }
    for message, content in cases.items():
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(InputError, match=message):
            DynamicViT().load_published(str(tmp_path / "file.pth"))
    (tmp_path / "file.pth").write_bytes(b"no torch file")
    with pytest.raises(InputError, match="it is not a torch file"):
        DynamicViT().load_published(str(tmp_path / "file.pth"))
    with pytest.raises(InputError, match="no checkpoint at"):
        DynamicViT().load_published(str(tmp_path / "nowhere.pth"))


def test_published_checkpoints_are_known_by_name() -> None:
    found = find(DynamicViT(), "dynamicvit-deit-s-r0.7")
    assert (found.top1_pct, found.url.partition("://")[0]) == (79.32, "https")
    with pytest.raises(InputError, match=r"did you mean 'dynamicvit-deit-s-r0\.7'"):
        find(DynamicViT(), "dynamicvit-deit-s")


def published_digits(folder: Path) -> Path:
    """A DynamicViT of DeiT-Tiny's shape for ten classes at 32 pixels, in the published layout."""
    torch.manual_seed(0)
    backbone = timm.create_model("deit_tiny_patch16_224", img_size=32, num_classes=10)
    state = DynamicViTModel(backbone, DynamicViTOptions()).state_dict()
    theirs = {name.removeprefix("backbone.").replace(OURS, THEIRS, 1): tensor for name, tensor in state.items()}
    torch.save({"model": theirs, "args": argparse.Namespace(base_rate=0.7)}, folder / "digits.pth")
    return folder / "digits.pth"


BENCH = [
    "bench",
    "--methods",
    "dynamicvit",
    "--dataset",
    "digits",
    "--image-size",
    "32",
    "--limit",
    "8",
    "--points",
    "2",
]


def test_a_published_name_is_benched_and_known_by_its_hash(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(published_digits(tmp_path / "served").read_bytes()).hexdigest()
    # The dot is in the names of all published checkpoints: it ends no file's name.
    name = "dynamicvit-digits-r0.7"
    there = PublishedCheckpoint(name, "deit_tiny_patch16_224", f"{server}/digits.pth", 50.0)
    monkeypatch.setattr(DynamicViT, "published", (there,))
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    arguments = [*BENCH, "--backbone", "deit_tiny_patch16_224", "--method-checkpoint", f"dynamicvit={name}"]
    assert main([*arguments, "--output", str(tmp_path / "dry"), "--dry-run"]) == 0
    assert not (tmp_path / "cache").exists(), "fetched before it was asked for"
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    found = RunStore(tmp_path / "out" / "runs.jsonl").read()
    assert {(r.checkpoint.uri, r.checkpoint.sha256) for r in found if r.checkpoint} == {(name, digest)}
    assert [r.point.knobs.get("keep_ratio") for r in found if r.point.target_gmacs is None] == [0.7]
    assert len(found) == 3


def test_a_published_file_of_another_backbone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = published_digits(tmp_path)
    arguments = [*BENCH, "--backbone", "deit_small_patch16_224", "--method-checkpoint", f"dynamicvit={file}"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "is not of backbone deit_small_patch16_224" in capsys.readouterr().err
    other = [*BENCH, "--backbone", "deit_tiny_patch16_224", "--method-checkpoint", f"dynamicvit={file}"]
    assert main([*other, "--image-size", "48", "--output", str(tmp_path / "out")]) == 2
    assert "at 32 pixels" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("published", DynamicViT.published, ids=lambda published: published.name)
def test_each_published_checkpoint_names_a_backbone_that_can_be_built(published: PublishedCheckpoint) -> None:
    with torch.device("meta"):
        assert build(BackboneSpec(published.backbone)).num_classes == 1000
