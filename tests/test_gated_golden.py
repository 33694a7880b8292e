"""A-ViT and AdaViT against the published implementations in float64, file by file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import Golden, deit_small, family, images
from torch import Tensor

from dynvit import cost
from dynvit.units import GIGA
from dynvit_methods.adavit import AdaViTModel
from dynvit_methods.adavit.budget import macs_at
from dynvit_methods.adavit.checkpoints import model_of
from dynvit_methods.avit import AViTModel, AViTOptions

TOLERANCE = 1e-9


def giga(macs: float | Tensor) -> str:
    return f"{float(macs) / GIGA:.3f}"


@pytest.mark.parametrize("path", family("avit_*"))
@torch.no_grad()
def test_avit_is_the_published_one(path: Path) -> None:
    golden, meta = Golden(path), Golden(path).meta
    backbone, gate = deit_small(), {"scale": meta["gate_scale"], "center": meta["gate_center"]}
    never, ends = (
        AViTModel(backbone, AViTOptions(**gate, epsilon=meta["eps"], ends=rule)).eval() for rule in ("never", "class")
    )
    point = never.trained_point
    found = never.predict(images(), point)
    torch.testing.assert_close(found.logits, golden["logits"], rtol=0, atol=TOLERANCE)
    active = golden["active_mask"].bool()
    assert torch.equal(found.halted.steps, active.sum(0))
    assert torch.equal(found.halted.steps.double(), golden["counter_token"])
    torch.testing.assert_close(found.halted.ponder, golden["rho_token"], rtol=0, atol=TOLERANCE)
    ran = torch.where(active, golden["halting_score"], 0.0)[:-1]
    torch.testing.assert_close(found.halted.scores, ran.mean((1, 2)), rtol=0, atol=TOLERANCE)

    early = ends.predict(images(), point)
    torch.testing.assert_close(early.logits, golden["logits"], rtol=0, atol=TOLERANCE)
    assert (cost.macs(early.usage) <= cost.macs(found.usage)).all()
    assert cost.count_executed(lambda: never.predict(images(), point)) == int(cost.macs(found.usage).sum())
    # Published are the MACs of its masked path, which computes everything.
    assert giga(cost.macs(never.predict(images()[:1], never.neutral).usage)) == giga(meta["macs_masked_path"])


@pytest.mark.parametrize("path", family("adavit_*"))
@torch.no_grad()
def test_adavit_is_the_published_one(path: Path) -> None:
    golden, meta = Golden(path), Golden(path).meta
    read = model_of(golden.weights, path.name)
    # The images stand for what is left after normalisation.
    read.backbone.pretrained_cfg = dict(vars(read.backbone)["pretrained_cfg"], mean=(0.0,) * 3, std=(1.0,) * 3)
    model = AdaViTModel(read.backbone, read.options).double().eval()
    model.load_state_dict(read.state_dict())
    point = model.trained_point
    assert {point[name] for name in point if name != "token_threshold"} <= {meta["head_threshold"]}
    assert point.get("token_threshold", meta["token_threshold"]) == meta["token_threshold"]
    masked, executed = model(images(), point), model.predict(images(), point)
    for found in (masked, executed):
        torch.testing.assert_close(found.logits, golden["logits"], rtol=0, atol=TOLERANCE)
    for name, theirs in (("heads", "head_select"), ("layers", "layer_select"), ("tokens", "token_select")):
        if theirs not in golden:
            continue
        pairs = zip(masked.masks, masked.gates, strict=True)
        decided = [getattr(masks, name) for masks, gates in pairs if getattr(gates, name) is not None]
        published = golden[theirs][..., 1:] if name == "tokens" else golden[theirs]
        assert torch.equal(torch.stack(decided, dim=1), published)
    assert cost.count_executed(lambda: model.predict(images(), point)) == int(cost.macs(executed.usage).sum())
    # Published are the MACs of its masked path, which computes everything, gates included.
    assert giga(macs_at(model, 1.0)) == giga(meta["macs_masked_path"])
