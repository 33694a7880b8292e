"""The cascade against the released code's numbers, in float64: every file of the family, by name and meta."""

from __future__ import annotations

import json
import os
import zlib
from math import isqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch

import dynvit.backbones.t2t as t2t
from dynvit.interface import OperatingPoint
from dynvit.ops.resize import grid_matrix, resample
from dynvit_methods.dvt import published, thresholds
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.exit import Exit
from dynvit_methods.dvt.options import DVTOptions
from dynvit_methods.dvt.reuse import Handed

GOLDEN = Path(os.environ.get("DYNVIT_GOLDEN") or Path(__file__).parents[1].parent / "shared" / "golden")
CASCADES = sorted(GOLDEN.glob("dvt_*_vit_*.npz")) + sorted(GOLDEN.glob("dvt_deit_*.npz"))
NEVER = OperatingPoint(threshold_1=1.0, threshold_2=1.0)


def read(path: Path) -> SimpleNamespace:
    with np.load(path) as z:
        return SimpleNamespace(meta=json.loads(str(z["meta"])), **{k: z[k] for k in z.files if k != "meta"})


def one(name: str) -> SimpleNamespace:
    if not (GOLDEN / f"{name}.npz").exists():
        pytest.skip(f"no {name}.npz under DYNVIT_GOLDEN={GOLDEN}")
    return read(GOLDEN / f"{name}.npz")


def filled(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Rule W."""
    v = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF).standard_normal(shape)
    last = key.rpartition(".")[2]
    if last in ("cls_token", "pos_embed"):
        v = 0.2 * v
    elif last == "w":
        v = v / 2**0.5
    elif len(shape) == 1:
        v = 1 + 0.1 * v if key.endswith(".weight") else 0.1 * v
    else:
        gains = {".kqv.": 0.25, ".qkv.": 1.5, ".attn.proj.": 0.5, ".tokens_to_token.project.": 4.0}
        gain = next((g for part, g in gains.items() if part in f".{key}"), 1.0)
        v = gain * v / np.prod(shape[1:]) ** 0.5
    return torch.from_numpy(v)


def weights(golden: SimpleNamespace) -> dict[str, torch.Tensor]:
    shapes = [tuple(map(int, shape.split("x"))) for shape in golden.shapes]
    state = {str(key): filled(str(key), shape) for key, shape in zip(golden.keys, shapes, strict=True)}
    for key, total in zip(golden.keys, golden.key_sums, strict=True):
        assert float(state[str(key)].sum()) == pytest.approx(total, abs=1e-9)
    return state


def images() -> torch.Tensor:
    """Rule X, turned into pixels that the model's own normalisation turns back."""
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 224, 224)))
    mean = torch.tensor((0.485, 0.456, 0.406), dtype=torch.float64)
    std = torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64)
    return x * std.view(-1, 1, 1) + mean.view(-1, 1, 1)


def close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - torch.from_numpy(theirs)).abs().max()) < tolerance


@pytest.mark.skipif(not CASCADES, reason=f"no dvt_*.npz under DYNVIT_GOLDEN={GOLDEN}")
@pytest.mark.parametrize("path", CASCADES, ids=lambda path: path.stem)
def test_cascade_says_what_the_released_model_says(path: Path) -> None:
    golden = read(path)
    state = weights(golden)
    cascade = published.from_state(state, path.stem)
    flags = path.stem.rpartition("_")[2]
    assert (cascade.options.feature_reuse == "full") == golden.meta["feature_reuse"] == ("F" in flags)
    assert (cascade.options.relation_reuse == "full") == golden.meta["relation_reuse"] == ("R" in flags)
    assert sum(v.numel() for v in cascade.state_dict().values()) == sum(v.numel() for v in state.values())

    said = cascade.predict(images(), NEVER).exit_logits
    for k in range(len(cascade.exits)):
        close(said[k], getattr(golden, f"exit{k}_logits"), 1e-10)

    x, handed = images(), Handed()
    for k, exit in enumerate(cascade.exits):
        seen = inside(exit, x, handed)
        handed = seen.handed
        close(seen.tokens[:, 0, :16], getattr(golden, f"exit{k}_lastblock_cls_first16"), 1e-10)
        close(seen.tokens[:, 1:, :4], getattr(golden, f"exit{k}_lastblock_patch_first4"), 1e-10)
        if f"exit{k}_rel_block0_last_head0_cls_row" in vars(golden):
            rows = torch.stack([r[:, 0, 0] for r in (seen.relations[0], seen.relations[-1])], 1)
            close(rows, getattr(golden, f"exit{k}_rel_block0_last_head0_cls_row"), 1e-10)


def inside(exit: Exit, images: torch.Tensor, handed: Handed) -> SimpleNamespace:
    """What an exit computes inside, all tokens of it, as a cascade that goes on would have it."""
    settings = exit.class_only, exit.hands_features, exit.hands_relations
    exit.class_only, exit.hands_features, exit.hands_relations = False, True, True
    try:
        with torch.no_grad():
            passed = exit(images, handed)[1]
    finally:
        exit.class_only, exit.hands_features, exit.hands_relations = settings
    return SimpleNamespace(tokens=passed.features[-1], relations=passed.relations, handed=passed)


@pytest.mark.skipif(not CASCADES, reason=f"no dvt_*.npz under DYNVIT_GOLDEN={GOLDEN}")
@pytest.mark.parametrize("path", CASCADES, ids=lambda path: path.stem)
def test_costs_are_the_released_models(path: Path) -> None:
    meta, flags = read(path).meta, path.stem.rpartition("_")[2]
    name = (
        "t2t_vit_" + path.stem.split("_")[-2]
        if "t2t" in path.stem
        else path.stem[4:].rsplit("_", 1)[0] + "_patch16_224"
    )
    options = DVTOptions(
        feature_reuse="full" if "F" in flags else "off",
        relation_reuse="full" if "R" in flags else "off",
        last_block="all",
    )
    assert list(Cascade(timm.create_model(name), options).exit_macs()) == meta["macs_cumulative"]


def test_resize_is_the_released_one() -> None:
    golden = one("dvt_resize")
    for key in (key for key in vars(golden) if key.endswith("_in")):
        kind, old, _, new, _ = key.split("_")
        maps, out = torch.from_numpy(getattr(golden, key)), getattr(golden, key.replace("_in", "_out"))
        matrix = grid_matrix(isqrt(int(old)), isqrt(int(new)))
        if kind == "rel":
            close(resample(maps, matrix, matrix), out, 1e-13)
        else:
            assert not out[0].any()
            close(resample(maps[1:], matrix[1:, 1:], None), out[1:], 1e-13)


def test_token_performer_and_position_table() -> None:
    golden = one("dvt_token_performer")
    performer = t2t.TokenPerformer(147).double().eval()
    performer.load_state_dict({key.partition(".")[2]: value for key, value in weights(golden).items()})
    close(performer(torch.from_numpy(golden.x)).detach(), golden.y, 1e-12)
    tables = one("dvt_t2t_sinusoid")
    for width in (256, 384):
        table = t2t.sinusoid_table(197, width)
        close(table[0, [0, 1, 2, 49, 100, 196]], getattr(tables, f"D{width}_n197_rows_0_1_2_49_100_196"), 1e-12)
        for n in (50, 101, 197):
            total = float(t2t.sinusoid_table(n, width).double().sum())
            assert total == pytest.approx(float(getattr(tables, f"D{width}_n{n}_sum")), abs=1e-9)


@pytest.mark.parametrize("table", ["distinct", "ties", "tiny"])
def test_ladder_is_the_released_one(table: str) -> None:
    golden = one("dvt_thresholds")
    field = {k.removeprefix(f"{table}_"): v for k, v in vars(golden).items() if k.startswith(f"{table}_")}
    known = thresholds.Confidences(field["conf"][:-1], field["correct"].astype(bool), golden.meta["flops"])
    for row, rung in enumerate(field["p"]):
        shares = thresholds.ladder_shares(rung, 3)
        np.testing.assert_allclose(shares, field["q"][row], rtol=1e-6)
        found = thresholds.ladder_thresholds(known.scores, field["q"][row])
        np.testing.assert_array_equal(found, field["thresholds"][row])
        knobs = thresholds.as_knobs(found)
        np.testing.assert_array_equal(np.bincount(known.exits(knobs), minlength=3), field["exit_counts"][row])
        spent, accuracy = known.measure(knobs)
        assert 100 * accuracy == pytest.approx(field["accuracy_percent"][row])
        assert spent == pytest.approx(field["expected_flops"][row])
