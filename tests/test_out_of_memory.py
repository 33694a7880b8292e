"""Where memory runs out, a batch is halved: the results are those of whole batches, and the record says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from data_helpers import numbered
from torch import Tensor, nn
from training_helpers import POINT, Noise, TinyModel, TinyOptions, accelerator, branch, request, stage, weights_of

from dynvit.backbones.build import BackboneSpec, build
from dynvit.checkpoint import load
from dynvit.data.pixels import PixelBatches
from dynvit.data.transforms import Preprocessing
from dynvit.halving import Pieces
from dynvit.interface import Batch, Losses, Recipe
from dynvit.measurements.accuracy.evaluate import SampleResults, evaluate
from dynvit.training.request import RunSettings
from dynvit.training.run import train_to
from dynvit.training.running import RunningStage
from dynvit.training.trainer import TrainerSettings, train

SMALL = Preprocessing(8, 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)


def tiny(dropout: float = 0.0) -> TinyModel:
    torch.manual_seed(0)
    return TinyModel(build(BackboneSpec("vit_digits", num_classes=10)), TinyOptions(dropout))


class Narrow(nn.Module):
    """Has memory for so many images, and keeps the sizes that it was asked for."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.asked = inner, most, []

    def forward(self, images: Tensor) -> Tensor:
        self.asked.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("no memory for so many images")
        return self.inner(images)


def measured(most: int, images: int = 23) -> tuple[SampleResults, list[int]]:
    model = tiny()
    narrow = model.backbone = Narrow(model.backbone, most)
    [found] = evaluate(model, [POINT], PixelBatches(numbered(images), SMALL, batch_size=10))
    return found, narrow.asked


def test_an_evaluation_in_halves_is_the_one_of_whole_batches() -> None:
    whole, asked = measured(most=10)
    assert whole.piece is None
    assert asked == [10, 10, 3]
    halved, asked = measured(most=4)
    assert asked == [10, 5, 3, 3, 3, 1, 3, 3, 3, 1, 3]
    assert halved.piece == 3
    assert halved.ids == whole.ids
    assert (halved.rank == whole.rank).all()
    assert (halved.macs == whole.macs).all()


def test_what_does_not_fit_as_one_image_ends_as_it_did() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        measured(most=0)


def test_another_error_is_not_tried_again() -> None:
    calls = []

    def fails(part: slice) -> None:
        calls.append(part)
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(Pieces(torch.device("cpu")).of(8, fails))
    assert len(calls) == 1


def test_joined_results_say_the_smallest_piece_of_any_process() -> None:
    (whole, _), (halved, _) = measured(10), measured(4)
    assert whole.merged([halved]).piece == 3
    assert whole.merged([whole]).piece is None


def test_a_training_whose_batch_does_not_fit_ends_in_the_weights_of_one_in_pieces() -> None:
    def trained(most: int, accumulate: int) -> tuple[TinyModel, int | None]:
        model = tiny()
        model.backbone = Narrow(model.backbone, most)
        settings = TrainerSettings(classes=10, quiet=True, accumulate=accumulate)
        stages = [stage("branch", 1, branch), stage("second", 1, branch)]
        summary = train(model, stages, Recipe(1, 8, 1e-3), Noise(steps=3), settings, accelerator())
        return model, summary.pieces

    (asked, none), (halved, pieces) = trained(8, 4), trained(2, 1)
    assert none is None
    assert pieces == 4
    assert all(torch.equal(a, b) for a, b in zip(asked.parameters(), halved.parameters(), strict=True))


def test_a_checkpoint_says_in_how_many_pieces_memory_cut_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = RunningStage.step

    def step(self: RunningStage, pieces: Sequence[Batch]) -> Losses:
        if len(pieces) < 2:
            raise torch.OutOfMemoryError("no memory for the whole")
        return plain(self, pieces)

    with monkeypatch.context() as patched:
        patched.setattr(RunningStage, "step", step)
        train_to(tmp_path / "halved", request("plain"), RunSettings(quiet=True))
    train_to(tmp_path / "asked", request("plain"), RunSettings(quiet=True, accumulate=2))
    assert weights_of(tmp_path / "halved") == weights_of(tmp_path / "asked")
    configs = [load(tmp_path / name)[1].training for name in ("halved", "asked")]
    assert [config and config.halved_into for config in configs] == [2, None]
    assert "halved_into" not in json.loads((tmp_path / "asked" / "config.json").read_text())["training"]
    assert '"pieces"' not in (tmp_path / "asked" / "log.jsonl").read_text()
