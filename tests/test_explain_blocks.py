"""``dynvit explain`` on what skips blocks, heads and tokens: it shows what ``predict`` did, for images and splits."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import hashes
from hypothesis import given
from hypothesis import strategies as st

from dynvit import cost
from dynvit.cli import main
from dynvit.data import open_split
from dynvit.explain.block_pictures import veiled
from dynvit.explain.blocks import Policies
from dynvit.interface import DynamicModel, Explanation, Method, OperatingPoint
from dynvit.testing import Subject
from dynvit_methods.dynamicvit import DynamicViT, DynamicViTOptions
from dynvit_methods.mia import MIAFormer, MIAModel, MIAOptions, Thresholds

SMALL = ("--epochs", "1", "--limit-train", "16", "--batch-size", "8", "--dataset", "digits", "--backbone", "vit_digits")


def of(method: Method[object], options: object, backbone: str) -> tuple[DynamicModel, torch.Tensor]:
    subject = dataclasses.replace(Subject.of("dense", backbone, batch=5), method=method, options=options)
    return subject.model(), subject.images


@pytest.mark.parametrize("backbone", ["vit_digits", "levit_cifar"])
def test_mia_explains_what_predict_did(backbone: str) -> None:
    method = MIAFormer()
    model, images = of(method, MIAOptions(init_logit=0.0), backbone)  # type: ignore[arg-type]
    assert isinstance(model, MIAModel)
    assert method.explains
    for thresholds in (Thresholds(0.5, 0.5, 0.5), Thresholds(0.0, 0.45, 0.55), Thresholds(1.0, 0.5, 0.5)):
        point = model.point(thresholds)
        done = model.predict(images, point)
        found = method.explain(model, images, point)
        assert [one.answer for one in found] == done.logits.argmax(1).tolist()
        assert [one.macs for one in found] == cost.macs(done.usage).tolist()
        assert done.usage.tokens is not None
        assert done.usage.heads is not None
        for image, one in enumerate(found):
            for index, (block, gate) in enumerate(zip(one.blocks, model.adapter.gates, strict=True)):
                assert block.kept.shape == gate.grid
                assert int(block.kept.sum()) + block.ran * gate.class_token == done.usage.tokens[image, index]
                assert block.heads == done.usage.heads[image, index] <= block.all_heads == gate.heads
                if block.ran:
                    assert torch.equal(block.kept.flatten(), done.masks[index].tokens[image])


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.0])
def test_dynamicvit_explains_what_predict_did(ratio: float) -> None:
    method = DynamicViT()
    model, images = of(method, DynamicViTOptions(), "vit_digits")  # type: ignore[arg-type]
    point = OperatingPoint(keep_ratio=ratio)
    done, found = model.predict(images, point), method.explain(model, images, point)
    assert [one.answer for one in found] == done.logits.argmax(1).tolist()
    assert [one.macs for one in found] == cost.macs(done.usage).tolist()
    assert done.usage.tokens is not None
    for image, one in enumerate(found):
        assert [int(block.kept.sum()) + 1 for block in one.blocks] == done.usage.tokens[image].tolist()
        for before, after in zip(one.blocks, one.blocks[1:], strict=False):
            assert not (after.kept & ~before.kept).any(), "what was dropped does not come back"


def test_ratios_of_heads_and_tokens_are_those_of_images_on_which_the_block_ran() -> None:
    nothing = np.zeros(4, dtype=int)
    ran = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)
    heads = ran * np.array([[1.0, 1, 1], [0.5, 0.5, 1], [0.5, 1, 1], [1, 1, 1]])
    ratios = Policies(nothing, nothing, nothing, nothing, ran, heads, ran * 0.25).skip_ratios()
    np.testing.assert_allclose(ratios["depth"], [0, 0.5, 1])
    np.testing.assert_allclose(ratios["heads"], [0.25, 0.25, np.nan])
    np.testing.assert_allclose(ratios["tokens"], [0.75, 0.75, np.nan])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 8))
def test_cheap_images_cost_no_more_than_dear_ones_and_none_comes_twice(spent: list[int], each: int) -> None:
    macs, grid = np.array(spent), np.ones((len(spent), 1))
    cheap, dear = Policies(macs, macs, macs, macs, grid > 0, grid, grid).cheap_and_expensive(each)
    chosen = [*cheap, *dear]
    assert len(set(chosen)) == len(chosen) <= max(2 * each, 1)
    assert cheap
    rest = set(range(len(spent))) - set(chosen)
    assert all(macs[one] <= macs[other] for one in cheap for other in [*rest, *dear])
    assert all(macs[one] >= macs[other] for one in dear for other in [*rest, *cheap])


def test_a_veil_lies_on_what_was_dropped_and_on_nothing_else() -> None:
    image = np.random.default_rng(0).integers(0, 255, (10, 8, 3), dtype=np.uint8)
    kept = np.array([[True, False], [False, True], [True, True]])  # which does not divide 10 rows
    same = (veiled(image, kept) == image / 255).all(2)
    assert (same == kept[np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])][:, [0, 0, 0, 0, 1, 1, 1, 1]]).all()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    assert main(["train", "--method", "dynamicvit", *SMALL, "-o", str(folder / "model")]) == 0
    open_split("digits", "validation").read(0).image.save(folder / "0.png")
    return folder


def explain(made: Path, *words: str) -> int:
    return main(["explain", "--method", "dynamicvit", "--checkpoint", str(made / "model"), *words])


def test_a_split_and_images_are_drawn_the_same_every_time(made: Path, tmp_path: Path) -> None:
    point = ("--knob", "keep_ratio=0.5")
    for folder in ("one", "two"):
        words = ("--dataset", "digits", "--limit", "9", "--per-class", "2")
        assert explain(made, *words, *point, "-o", str(tmp_path / folder)) == 0
        assert explain(made, str(made / "0.png"), *point, "-o", str(tmp_path / folder)) == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    drawn = {"skip_ratios.png", "skip_ratios.csv", "kept_tokens.png", "explained.png", "explained.csv"}
    assert set(hashes(tmp_path / "one")) == drawn
    with (tmp_path / "one" / "skip_ratios.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["block"] for row in rows] == [str(block) for block in range(1, 7)]
    assert {row["depth"] for row in rows} == {row["heads"] for row in rows} == {"0.000000"}
    dropped = [float(row["tokens"]) for row in rows]
    assert dropped == sorted(dropped)
    assert dropped[0] == 0 < dropped[-1]


def test_a_method_that_decides_neither_exits_nor_blocks_is_told_to_take_images(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_: object) -> list[Explanation]:
        return [Explanation(answer=0, text="", macs=0)]

    monkeypatch.setattr(DynamicViT, "explain", silent)
    assert explain(made, "--dataset", "digits", "-o", str(tmp_path / "out")) == 2
    assert "decides neither exits nor blocks: give it images" in capsys.readouterr().err
