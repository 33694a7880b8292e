"""Logits, costs and weights that are no numbers are refused: they would be scored as wrong answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import dynvit
from dynvit.api.images import Pixels, stacked
from dynvit.backbones.weights import check_numbers, fit
from dynvit.data.pixels import PixelBatch
from dynvit.errors import InputError
from dynvit.finite import check_logits, check_macs, naming
from dynvit.interface import DynamicModel, OperatingPoint, methods
from dynvit.measurements.accuracy.evaluate import evaluate
from dynvit.testing import Subject

BAD = (float("nan"), float("inf"), float("-inf"))


@pytest.mark.parametrize("value", BAD)
def test_the_line_names_the_model_the_point_and_the_first_sample(value: float) -> None:
    logits = torch.zeros(4, 3)
    check_logits(logits, "model 'mine'")
    logits[2, 1] = logits[3, 0] = value
    said = r"model 'mine' at keep=0.5 are not finite numbers: sample 'c' is the first of 2 in a batch of 4"
    with pytest.raises(InputError, match=said):
        check_logits(logits, "model 'mine'", OperatingPoint(keep=0.5), "abcd")
    with pytest.raises(InputError, match=r"^the run: .*image 3 of the batch"), naming("the run"):
        check_logits(logits, "a model")
    with pytest.raises(InputError, match="MACs"):
        check_macs(torch.tensor([1.0, value]), "a model")
    with pytest.raises(InputError, match="MACs"):
        check_macs(torch.tensor([1, -1]), "a model")


def broken_model(value: float) -> DynamicModel:
    """A dense model whose second image gets no numbers."""
    model: Any = Subject.of("dense").model().float()
    predict = model.predict

    def broken(images: Tensor, point: OperatingPoint) -> Any:
        found = predict(images, point)
        logits = found.logits.clone()
        logits[1, 0] = value
        return replace(found, logits=logits)

    model.predict = broken
    found: DynamicModel = model
    return found


@pytest.mark.parametrize("value", BAD)
def test_accuracy_is_not_measured_of_it(value: float) -> None:
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    batch = PixelBatch(("x", "y", "z"), images, torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match=r"'mine'.*sample 'y'"):
        evaluate(broken_model(value), [OperatingPoint()], [batch], who="model 'mine'")


def weights(**changed: Tensor) -> dict[str, Tensor]:
    import timm

    import dynvit.backbones.small  # noqa: F401 - registers vit_digits

    state: dict[str, Tensor] = timm.create_model("vit_digits").state_dict()
    return {name: tensor.clone() for name, tensor in state.items()} | changed


NORM = "blocks.1.norm1.weight"
ODD = {
    "nan": torch.full((48,), float("nan")),
    "infinite": torch.full((48,), float("inf")),
    "too large for float32": torch.full((48,), 1e300, dtype=torch.float64),
    "int8": torch.ones(48, dtype=torch.int8),
    "int64": torch.ones(48, dtype=torch.int64),
    "bool": torch.ones(48, dtype=torch.bool),
    "complex": torch.ones(48, dtype=torch.complex64),
}


@pytest.mark.parametrize("name", ODD)
def test_weights_that_would_be_cast_or_are_no_numbers_are_refused_by_file_and_tensor(name: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    safetensors.torch.save_file(weights(**{NORM: ODD[name]}), path)
    with pytest.raises(InputError, match=rf"odd.safetensors.*{NORM}"):
        dynvit.load("dense", backbone="vit_digits", weights=path)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken(kind: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    safetensors.torch.save_file({name: tensor.to(kind) for name, tensor in weights().items()}, path)
    model = dynvit.load("dense", backbone="vit_digits", weights=path)
    assert next(model.opened.model.parameters()).dtype == torch.float32


def test_a_grid_to_resample_is_checked_before_it_is_smeared() -> None:
    import timm

    model = timm.create_model("vit_digits")
    grid = torch.zeros(1, 26, model.embed_dim)
    grid[0, 3, 4] = float("nan")
    with pytest.raises(InputError, match="pos_embed"):
        fit(weights(pos_embed=grid), model, new_head=False, where="given")
    with pytest.raises(InputError, match="pos_embed must hold floats, got int32"):
        fit(weights(pos_embed=grid.nan_to_num().int()), model, new_head=False, where="given")


def test_counts_are_whole_by_nature_and_stay_so() -> None:
    check_numbers(torch.tensor(3), torch.tensor(0), "count")
    for odd in (torch.tensor(3.0), torch.tensor(True), torch.tensor(1j)):
        with pytest.raises(InputError, match=r"^count must hold int64"):
            check_numbers(odd, torch.tensor(0), "count")
    with pytest.raises(InputError, match="sparse"):
        check_numbers(torch.ones(2, 2).to_sparse(), torch.zeros(2, 2), "sparse one")


@pytest.mark.parametrize(
    "label", [1.5, float("nan"), float("inf"), True, "1", -2, torch.tensor(2.5), torch.tensor(True), [1], 10**30]
)
def test_a_label_from_python_is_a_class_s_number(label: Any) -> None:
    from dynvit.api.images import _label

    with pytest.raises(InputError, match=r"label"):
        list(stacked([Pixels(torch.zeros(3, 8, 8), _label(label))], torch.device("cpu"), 10))
    assert [_label(one) for one in (3, torch.tensor(3), torch.tensor(3.0), None, -1)] == [3, 3, 3, -1, -1]


@pytest.mark.parametrize("value", BAD)
def test_pixels_from_python_are_numbers(value: float, tmp_path: Path) -> None:
    safetensors.torch.save_file(weights(), tmp_path / "w.safetensors")
    model = dynvit.load("dense", backbone="vit_digits", weights=tmp_path / "w.safetensors")
    images = torch.zeros(2, 3, 8, 8)
    images[1, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"pixels must lie in \[0, 1\]"):
        model(images)
    model.opened.model.load_state_dict({n: t * value for n, t in model.opened.model.state_dict().items()})
    with pytest.raises(InputError, match="not finite"):
        model(torch.zeros(2, 3, 8, 8))
    assert "dense" in methods.names()
