"""Weights from a file into a timm model: read safely, fitted to another grid or head, or refused by name."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from timm.models import load_state_dict
from torch import Tensor, nn

from dynvit.backbones.pretraining import of_one_network, unwrapped, without_leftovers
from dynvit.downloads import from_hub, no_web_page
from dynvit.errors import InputError
from dynvit.reading import check_regular

State = dict[str, Tensor]


def find_weights(uri: str) -> Path:
    """The local file behind ``uri``: a file, a folder, or ``hf://OWNER/REPO[/FILE]``.

    Where no file is named ``model.safetensors`` is meant: so a checkpoint of ``dynvit train`` gives its backbone.

    Raises: ``InputError`` where there is none, or it cannot be fetched.
    """
    if not uri.startswith("hf://"):
        path = Path(os.path.expanduser(uri))  # Path's own raises where this user has no home folder
        path = path / "model.safetensors" if path.is_dir() else path
        if not path.exists():
            raise InputError(f"no weights at {uri}: give a .safetensors or .pth file, or hf://OWNER/REPO")
        return check_regular(path, "weights")
    owner, _, rest = uri.removeprefix("hf://").partition("/")
    repo, _, file = rest.partition("/")
    if not owner or not repo:
        raise InputError(f"{uri!r} is not hf://OWNER/REPO, hf://timm/deit_tiny_patch16_224.fb_in1k for one")
    check = safetensors_file if not file or file.endswith(".safetensors") else torch_file
    advice = "check the name and the network"
    return from_hub(f"{owner}/{repo}", file or "model.safetensors", check=check, advice=advice)


def safetensors_file(path: Path) -> None:
    """Refuses what does not begin as a safetensors file. A ``Check`` of downloads."""
    no_web_page(path)
    with path.open("rb") as file:
        begin = file.read(9)
    # The length of a header, then the header, which is JSON.
    if len(begin) < 9 or begin[8:] != b"{" or int.from_bytes(begin[:8], "little") + 8 > path.stat().st_size:
        raise ValueError("is no safetensors file")


def torch_file(path: Path) -> None:
    """Refuses what does not begin as a file of torch: a zip, or a pickle. A ``Check`` of downloads."""
    no_web_page(path)
    with path.open("rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):
            raise ValueError("is no torch file")


def read_weights(path: Path) -> State:
    """The tensors of a ``.safetensors``, ``.pth`` or ``.bin`` file; no code in the file is executed.

    Checkpoints are unwrapped as timm does it: ``state_dict_ema``, ``model_ema``, ``state_dict``, ``model`` in this
    order, then the prefixes ``module.`` and ``_orig_mod.``; further, ``teacher``, ``encoder`` and what else
    pre-trainings call it. Of a dynamic model only what lies under ``backbone.`` is returned.

    Raises: ``InputError`` for a file of another type, or a pickle with more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about the age of a pickle; faults are raised
            found = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        refused = "weights_only" in str(error) or "Weights only" in str(error)
        reason = (
            "its pickle contains code, which is never run; convert it to safetensors where you trust it"
            if refused
            else f"not a readable .safetensors or .pth file ({str(error).splitlines()[0] if str(error) else 'empty'})"
        )
        raise InputError(f"weights {path}: {reason}") from error
    found = unwrapped(found) if isinstance(found, Mapping) else found
    if not isinstance(found, Mapping) or not any(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"weights {path} hold no tensors by name: expected a state dict, or one under 'model'")
    state = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    inner = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    return inner or state


def fit(state: State, model: nn.Module, *, new_head: bool, where: str) -> State:
    """The tensors as a complete state dict of ``model``: grid resampled, head replaced if allowed.

    What timm does for an architecture (positions and patch filters to another grid, old names to new ones) is left
    to timm's own ``checkpoint_filter_fn``. With ``new_head`` a head of another class count, or one that is not there,
    is left as it was initialised.

    Raises: ``InputError`` that names the first tensor that does not fit.
    """
    wanted: Mapping[str, Tensor] = model.state_dict()
    for name, tensor in state.items():  # before timm resamples them
        if name in wanted and tensor.shape != wanted[name].shape:
            check_numbers(tensor, wanted[name], f"weights {where}: tensor {name}")
    fitted = _as_named_now(state, model, where)
    if not _has_head(fitted, model):
        fitted = without_leftovers(fitted, wanted) | _head_of(wanted, model)
        compare(fitted, wanted, where, _name(model))
        if not new_head:
            raise InputError(
                f"weights {where} have no head, as a self-supervised training leaves them: train one on them first "
                "(dynvit train --method dense, or bench --train)"
            )
        warnings.warn(f"weights {where} have no head: it is drawn by the seed", stacklevel=2)
        return fitted
    classes: tuple[int, int] | None = None
    for head in _head_names(model):
        there, want = fitted.get(f"{head}.weight"), wanted[f"{head}.weight"]
        if there is not None and len(there) != len(want):
            classes = len(there), len(want)
            fitted |= {name: wanted[name] for name in (f"{head}.weight", f"{head}.bias") if name in wanted}
    compare(fitted, wanted, where, _name(model))
    if classes is not None and not new_head:
        raise InputError(
            f"weights {where} must have {classes[1]} classes, got {classes[0]}: "
            "give weights for these classes, or train on them first: dynvit train, or bench --train"
        )
    return fitted


def classes_of(state: State, model: nn.Module, *, where: str) -> int:
    """How many classes the head has that weights of ``model``'s architecture bring.

    Raises: ``InputError`` where they bring none.
    """
    fitted = _as_named_now(state, model, where)
    heads = [fitted[f"{head}.weight"] for head in _head_names(model) if f"{head}.weight" in fitted]
    if not heads:
        raise InputError(
            f"weights {where} have no head of {_name(model)}: give weights that classify, or train a head on these "
            "(dynvit train --method dense)"
        )
    return len(heads[0])


def compare(there: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str, who: str) -> None:
    """Check that names, shapes and kinds of numbers agree, and that all numbers are finite.

    Raises: ``InputError`` that names the first tensor that differs, its shape and the shape that is needed.
    """
    for name, tensor in wanted.items():
        if name not in there:
            raise InputError(f"weights {where} lack tensor {name}, which {who} needs with shape {list(tensor.shape)}")
        if there[name].shape != tensor.shape:
            raise InputError(
                f"weights {where} do not fit {who}: {name} must have shape {list(tensor.shape)}, "
                f"got {list(there[name].shape)}"
            )
        check_numbers(there[name], tensor, f"weights {where}: tensor {name}")
    extra = next((name for name in there if name not in wanted), None)
    if extra is not None:
        raise InputError(f"weights {where} hold tensor {extra}, which {who} does not have: it is another architecture")


def check_numbers(there: Tensor, wanted: Tensor, where: str) -> None:
    """Check that a tensor can be taken for ``wanted`` without changing a number in silence, and is finite.

    A narrower float becomes a wider one without loss. Whole numbers for floats are most often quantised weights,
    whose scale lies elsewhere.
    Raises: ``InputError`` that begins with ``where``.
    """
    kind = str(there.dtype).removeprefix("torch.")
    if there.layout != torch.strided or there.is_quantized or there.is_meta:
        raise InputError(f"{where} is sparse, quantised or empty ({kind}): save it as plain {wanted.dtype}")
    floats = wanted.is_floating_point()
    if (
        there.is_floating_point() != floats
        or there.is_complex()
        or (there.dtype == torch.bool) != (wanted.dtype == torch.bool)
    ):
        raise InputError(
            f"{where} must hold {'floats' if floats else str(wanted.dtype).removeprefix('torch.')}, got {kind}: "
            "it is not converted in silence; save it in the type that it is used in"
        )
    if floats:
        bad = ~torch.isfinite(there.to(wanted.dtype))
        if bool(bad.any()):
            raise InputError(
                f"{where} holds {int(bad.sum()):,} of {bad.numel():,} numbers that are not finite (NaN or infinite): "
                "the file is damaged, or its training diverged; take an earlier checkpoint"
            )


def _name(model: nn.Module) -> str:
    config = getattr(model, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(model).__name__)


def _head_names(model: nn.Module) -> tuple[str, ...]:
    names = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    found = (names,) if isinstance(names, str) else tuple(names)
    # Some classifiers are modules around the linear layer (LeViT's norm + linear): the prefix is enough to find it.
    modules = dict(model.named_modules())
    return tuple(
        path
        for path in modules
        if isinstance(modules[path], nn.Linear) and any(path == name or path.startswith(f"{name}.") for name in found)
    )


def _has_head(state: State, model: nn.Module) -> bool:
    return not _head_names(model) or any(f"{head}.weight" in state for head in _head_names(model))


def _head_of(wanted: Mapping[str, Tensor], model: nn.Module) -> State:
    """The tensors of the classifier, norms and all."""
    names = {head.partition(".")[0] for head in _head_names(model)}
    return {name: value for name, value in wanted.items() if name.partition(".")[0] in names}


def _as_named_now(state: State, model: nn.Module, where: str) -> State:
    state, _ = of_one_network(state, model.state_dict())
    try:
        return _timm_filter(model)(state, model)
    except Exception as error:  # a filter meets whatever the file held
        raise InputError(f"weights {where} are of another architecture than {_name(model)}: {error}") from error


def _timm_filter(model: nn.Module) -> Callable[[State, nn.Module], State]:
    for kind in type(model).__mro__:
        found = getattr(sys.modules[kind.__module__], "checkpoint_filter_fn", None)
        if found is not None:
            return _without_gradient(found)
    return lambda state, _: dict(state)


def _without_gradient(function: Callable[[State, nn.Module], State]) -> Callable[[State, nn.Module], State]:
    def call(state: State, model: nn.Module) -> State:
        with torch.no_grad():
            return dict(function(dict(state), model))

    return call
