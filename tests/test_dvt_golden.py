"""The cascade against the released code's numbers, in float64: every file of the family, by name and meta."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from golden import ROOT, Golden, family, images

import dynvit.backbones.t2t as t2t
from dynvit.interface import OperatingPoint
from dynvit.ops.resize import grid_matrix, resample
from dynvit_methods.dvt import published, thresholds
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.exit import Exit
from dynvit_methods.dvt.options import DVTOptions
from dynvit_methods.dvt.reuse import Handed

CASCADES = family("dvt_*_*_*[FRe]")  # names end in the flags: none, F, R or FR


def one(name: str) -> Golden:
    if not ROOT.is_dir():
        pytest.skip(f"no golden vectors in {ROOT}: set DYNVIT_GOLDEN")
    return Golden(ROOT / f"{name}.npz")


def pixels() -> torch.Tensor:
    """Rule X as pixels, which the model's own normalisation turns back."""
    mean = torch.tensor((0.485, 0.456, 0.406), dtype=torch.float64)
    std = torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64)
    return images() * std.view(-1, 1, 1) + mean.view(-1, 1, 1)


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) < tolerance


@pytest.mark.parametrize("path", CASCADES)
def test_cascade_says_what_the_released_model_says(path: Path) -> None:
    golden = Golden(path)
    cascade, flags = published.from_state(golden.weights, path.stem), path.stem.rpartition("_")[2]
    assert (cascade.options.feature_reuse == "full") == golden.meta["feature_reuse"] == ("F" in flags)
    assert (cascade.options.relation_reuse == "full") == golden.meta["relation_reuse"] == ("R" in flags)
    never = OperatingPoint(**{f"threshold_{k}": 1.0 for k in range(1, len(cascade.exits))})
    said = cascade.predict(pixels(), never).exit_logits
    handed = Handed()
    for k, exit in enumerate(cascade.exits):
        close(said[k], golden[f"exit{k}_logits"], 1e-10)
        handed = inside(exit, pixels(), handed)
        close(handed.features[-1][:, 0, :16], golden[f"exit{k}_lastblock_cls_first16"], 1e-10)
        close(handed.features[-1][:, 1:, :4], golden[f"exit{k}_lastblock_patch_first4"], 1e-10)
        rows = torch.stack([r[:, 0, 0] for r in (handed.relations[0], handed.relations[-1])], 1)
        if f"exit{k}_rel_block0_last_head0_cls_row" in golden:
            close(rows, golden[f"exit{k}_rel_block0_last_head0_cls_row"], 1e-10)


def inside(exit: Exit, images: torch.Tensor, handed: Handed) -> Handed:
    """What an exit would hand on if it had to hand on everything."""
    exit.class_only, exit.hands_features, exit.hands_relations = False, True, True
    with torch.no_grad():
        return exit(images, handed)[1]


@pytest.mark.parametrize("path", CASCADES)
def test_costs_are_the_released_models(path: Path) -> None:
    golden, flags = Golden(path), path.stem.rpartition("_")[2]
    patches = [golden[f"exit{k}_lastblock_patch_first4"].shape[1] for k in range(len(golden.meta["macs_cumulative"]))]
    name = path.stem.removeprefix("dvt_").removesuffix(f"_{flags}")
    options = DVTOptions(
        grids=tuple(map(isqrt, patches)),
        feature_reuse="full" if "F" in flags else "off",
        relation_reuse="full" if "R" in flags else "off",
        last_block="all",
    )
    cascade = Cascade(timm.create_model(name if "t2t" in name else f"{name}_patch16_224"), options)
    assert list(cascade.exit_macs()) == golden.meta["macs_cumulative"]
    tables = sum(v.numel() for k, v in cascade.state_dict().items() if k.endswith(".w"))
    assert sum(p.numel() for p in cascade.parameters()) + tables == golden.meta["params"]


def test_resize_is_the_released_one() -> None:
    golden = one("dvt_resize")
    for old, new in ((49, 100), (100, 196), (49, 196)):
        matrix = grid_matrix(isqrt(old), isqrt(new))
        maps = golden[f"rel_{old}_to_{new}_in"]
        close(resample(maps, matrix, matrix), golden[f"rel_{old}_to_{new}_out"], 1e-13)
        features, grown = golden[f"feat_{old}_to_{new}_in"], golden[f"feat_{old}_to_{new}_out"]
        close(resample(features[1:], matrix[1:, 1:], None), grown[1:], 1e-13)


def test_token_performer_and_position_table() -> None:
    golden = one("dvt_token_performer")
    performer = t2t.TokenPerformer(golden["x"].shape[-1]).double().eval()
    performer.load_state_dict({key.partition(".")[2]: value for key, value in golden.weights.items()})
    close(performer(golden["x"]).detach(), golden["y"], 1e-12)
    tables = one("dvt_t2t_sinusoid")
    for width in (256, 384):
        rows = t2t.sinusoid_table(197, width)[0, [0, 1, 2, 49, 100, 196]]
        close(rows, tables[f"D{width}_n197_rows_0_1_2_49_100_196"], 1e-12)
        for n in (50, 101, 197):
            total = t2t.sinusoid_table(n, width).double().sum()
            assert float(total) == pytest.approx(float(tables[f"D{width}_n{n}_sum"]), abs=1e-9)


@pytest.mark.parametrize("table", ["distinct", "ties", "tiny"])
def test_the_released_solver_is_the_official_one(table: str) -> None:
    golden = one("dvt_thresholds")
    field = SimpleNamespace(
        **{
            name: golden[f"{table}_{name}"].numpy()
            for name in ("conf", "correct", "p", "q", "thresholds", "exit_counts", "accuracy_percent", "expected_flops")
        }
    )
    known = thresholds.Confidences(field.conf[:-1], field.correct.astype(bool), golden.meta["flops"])
    for row, step in enumerate(field.p):
        np.testing.assert_allclose(thresholds.released_shares(step, 3), field.q[row], rtol=1e-6)
        found = thresholds.released_thresholds(known.scores, field.q[row])
        np.testing.assert_array_equal(found, field.thresholds[row])
        knobs = thresholds.as_knobs(found)
        np.testing.assert_array_equal(np.bincount(known.exits(knobs), minlength=3), field.exit_counts[row])
        spent, accuracy = known.measure(knobs)
        assert 100 * accuracy == pytest.approx(field.accuracy_percent[row])
        assert spent == pytest.approx(field.expected_flops[row])
