"""docs/backbones.md says which method serves which backbone, and what it says is so."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dynvit import cost
from dynvit.backbones.build import image_size
from dynvit.backbones.normalize import Normalize
from dynvit.interface import methods
from dynvit.knobs import knobs_of
from dynvit.search import draw

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("backbone_table")


def rows() -> dict[str, dict[str, str]]:
    lines = re.findall(r"^\| (.*) \|$", (ROOT / "docs" / "backbones.md").read_text(), re.MULTILINE)
    table = [line.split(" | ") for line in lines if line.count("|") > 5]
    names = table[0]
    return {cells[0]: dict(zip(names, cells, strict=True)) for cells in table[1:]}


def test_the_page_has_the_table_that_the_code_makes(script: ModuleType) -> None:
    assert script.table() in (ROOT / "docs" / "backbones.md").read_text()


@pytest.mark.parametrize(
    "row", [name for name, cells in rows().items() if cells["dense"] == "yes" and "levit" not in name]
)
@torch.no_grad()
def test_who_serves_a_backbone_is_it_at_the_neutral_point_and_claims_what_runs(row: str, script: ModuleType) -> None:
    backbone = script.backbone(row).eval()
    images = torch.rand(2, 3, *backbone_size(row, script), generator=torch.Generator().manual_seed(0))
    expected = backbone(Normalize.of(backbone)(images))
    assert bool((expected[0] - expected[1]).abs().max() > 1e-3), "two images must differ for parity to say anything"
    for name, cell in rows()[row].items():
        if cell != "yes":
            continue
        kind = methods.get(name)
        model = kind().attach(backbone, kind.Options()).eval()
        if model.neutral is not None and not kind.needs_training:
            told = model.predict(images, model.neutral).logits
            torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-4)
        [point] = draw(knobs_of(kind(), kind.Options(), lambda model=model: model.backbone), seed=1, count=1)
        alone = model.predict(images[1:], point)
        torch.testing.assert_close(model.predict(images, point).logits[1:], alone.logits, rtol=1e-4, atol=1e-4)
        executed = cost.count_executed(lambda model=model, point=point: model.predict(images[1:], point))
        assert int(cost.macs(alone.usage)) == executed, name


def backbone_size(row: str, script: ModuleType) -> tuple[int, int]:
    embedding = getattr(script.backbone(row), "patch_embed", None)
    return tuple(embedding.img_size) if hasattr(embedding, "img_size") else image_size(script.backbone(row))
