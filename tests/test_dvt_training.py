"""DVT trains and is calibrated as its authors do: stochastic depth in every exit, augmented images, stored points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from bench_helpers import records, run_bench
from timm.layers import DropPath

from dynvit.backbones.build import BackboneSpec, build
from dynvit.benchmark.points import Budgets
from dynvit.interface import OperatingPoint, Recipe
from dynvit.leaderboard.naming import point_names
from dynvit.report import read_board
from dynvit.session import SessionRequest, Wanted, open_session
from dynvit_methods.dvt import DVT, DVTOptions, published
from dynvit_methods.dvt.cascade import Cascade
from dynvit_methods.dvt.recipes import RECIPES, DVTRecipe
from test_dvt_published import released

THRESHOLDS = [[0.9, 0.8, -1e8], [0.5, 1e8, -1e8], [0.5, 1e8, -1e8]]


def cascade() -> Cascade:
    torch.manual_seed(0)
    return Cascade(build(BackboneSpec("vit_digits", num_classes=10)), DVTOptions()).eval()


def rates(model: Cascade) -> list[list[float]]:
    found = [[block.drop_path1, block.drop_path2] for exit in model.exits for block in exit.adapter.blocks]
    return [[path.drop_prob if isinstance(path, DropPath) else 0.0 for path in pair] for pair in found]


def begun(recipe: Recipe) -> Cascade:
    model = cascade()
    (stage,) = DVT().stages(model, recipe)
    assert stage.begin is not None
    stage.begin(model)
    return model


def test_every_exit_drops_paths_from_0_to_the_references_rate() -> None:
    for name in ("imagenet-t2t-12", "imagenet-t2t-14", "imagenet-deit"):
        recipe = RECIPES[name]
        assert isinstance(recipe, DVTRecipe)
        assert recipe.drop_path == 0.1
        found = rates(begun(recipe))
        expected = [0.1 * block / 5 for _ in range(3) for block in range(6)]
        assert [pair[0] for pair in found] == [pair[1] for pair in found] == pytest.approx(expected)


def test_a_recipe_without_it_leaves_the_model_alone() -> None:
    assert rates(begun(RECIPES["cifar-transfer"])) == 18 * [[0.0, 0.0]]


def test_dropped_paths_are_no_tensors_and_no_part_of_an_answer() -> None:
    model, plain = begun(RECIPES["imagenet-deit"]).eval(), cascade()
    assert model.state_dict().keys() == plain.state_dict().keys()
    images, point = torch.rand(3, 3, 8, 8), OperatingPoint(threshold_1=1.0, threshold_2=1.0)
    assert torch.equal(model(images, point).exit_logits, plain(images, point).exit_logits)
    torch.manual_seed(0)
    images = torch.rand(32, 3, 8, 8)
    assert not torch.equal(model.train()(images, point).exit_logits, plain.train()(images, point).exit_logits)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file in the released layout, of a backbone that a test can run."""
    path = tmp_path_factory.mktemp("released") / "digits.pth.tar"
    torch.save({"model_state_dict": released(cascade()), "dynamic_threshold": torch.tensor(THRESHOLDS)}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(published.BACKBONES, (False, 48), "vit_digits")
        yield path


@pytest.mark.slow
def test_stored_points_are_points_of_the_bench_and_change_no_other(small: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": ("dvt",), "method_checkpoint": {"dvt": [str(small)]}}
    options |= {"points": 3, "limit": 40, "calibration": 60}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DVT, "load_published", lambda self, path: (published.load_published(path).model, None))
        run_bench(None, {**options, "output": str(tmp_path / "without")})
    run_bench(None, {**options, "output": str(tmp_path / "with")})
    without, found = records(tmp_path / "without"), records(tmp_path / "with")
    ours = [record for record in found if record.point.origin is None]
    theirs = [record for record in found if record.point.origin == "published"]
    assert [record.record_id for record in ours] == [record.record_id for record in without]
    assert [record.point.knobs["threshold_1"] for record in theirs] == pytest.approx([0.9, 0.5])
    assert theirs[1].point.knobs["threshold_2"] == 1.0
    board = read_board(tmp_path / "with" / "leaderboard.json")
    names = point_names(board)
    assert sorted(names[record.record_id] for record in theirs) == [
        "published, exits ≥ .50, 1.00",
        "published, exits ≥ .90, .80",
    ]
    run_bench(None, {**options, "budgets": (0.004,), "output": str(tmp_path / "named")})
    assert {record.point.origin for record in records(tmp_path / "named")} == {None}


def test_a_released_checkpoint_is_calibrated_on_augmented_images_and_ours_are_not(small: Path) -> None:
    session = open_session(SessionRequest(dataset="digits", calibration=60, method_checkpoint={"dvt": (str(small),)}))
    theirs = session.open(Wanted.of("dvt", checkpoint=str(small)))
    assert theirs.is_published
    seen = Budgets(session)._calibration(theirs)
    again = Budgets(session)._calibration(theirs)
    bare = Budgets(session)._calibration(session.attach(Wanted.of("dvt"), session.backbone))
    images, plain = (torch.cat([batch.images for batch in batches]) for batches in (seen, bare))
    assert images.shape == plain.shape == (60, 3, 8, 8)
    assert torch.equal(images, torch.cat([batch.images for batch in again]))
    same = sum(torch.equal(image, other) for image in images for other in plain)
    assert same < 10  # a crop may be the whole image
    counts = [torch.cat([batch.labels for batch in batches]).bincount(minlength=10) for batches in (seen, bare)]
    assert torch.equal(*counts)
    assert all(batch.labelled and batch.targets.sum() == len(batch.images) for batch in seen)


def test_a_template_of_timms_keeps_its_own_rate_in_a_released_model(small: Path) -> None:
    assert isinstance(timm.create_model("vit_digits", drop_path_rate=0.1).blocks[-1].drop_path1, DropPath)
    model = published.load_published(str(small)).model
    assert not model.training
