"""Models that are timed: the dense backbone as timm runs it, and a method's ``predict`` at a point."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from dynvit.backbones.normalize import Normalize
from dynvit.errors import InputError
from dynvit.halving import is_out_of_memory
from dynvit.interface import DynamicModel, OperatingPoint, Prediction
from dynvit.measurements.speed.memory import DoesNotFitError

Dtype = Literal["float32", "bf16"]
ModuleT = TypeVar("ModuleT", bound=nn.Module)
TORCH_DTYPE: dict[str, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}
COMPILED = ", compiled"


@dataclass(frozen=True)
class TimedModel:
    """A model that is ready to be timed.

    ``who`` names it in warnings. ``mode`` is how it runs, for the record: ``dense``, or ``predict`` (skipped work is
    not executed), followed by ``, compiled`` where ``torch.compile`` compiled it.
    """

    who: str
    module: nn.Module
    call: Callable[[Tensor], object]
    mode: str

    def __call__(self, images: Tensor) -> object:
        """Run a batch. Shape: images (B, 3, H, W). Raises: ``DoesNotFitError`` where memory runs out."""
        try:
            return self.call(images)
        except Exception as error:
            if is_out_of_memory(error):
                # Not "from error": its traceback would keep alive the tensors that did fit.
                raise DoesNotFitError(self.who) from None
            raise

    def compiled(self, images: Tensor) -> TimedModel:
        """The same model compiled by ``torch.compile``; uncompiled, with a warning, where that fails.

        ``images`` is a batch of the size and type that it will run on: another size is compiled anew.
        """
        made = TimedModel(self.who, self.module, torch.compile(self.call), self.mode + COMPILED)
        try:
            made(images)
        except DoesNotFitError:
            raise
        except Exception as error:
            reason = str(error).strip().partition("\n")[0][:120]
            warnings.warn(f"{self.who} runs uncompiled, torch.compile fails on it: {reason}", stacklevel=2)
            return self
        return made


def timed_dense(backbone: nn.Module, dtype: Dtype, device: torch.device) -> TimedModel:
    """The static backbone on pixels in [0, 1]: timm's own forward pass, with its fused attention."""
    made = _ready(backbone, dtype, device)
    normalize = Normalize.of(backbone)
    return TimedModel("the dense backbone", made, lambda images: made(normalize(images)), "dense")


def timed_predict(
    model: DynamicModel, point: OperatingPoint, dtype: Dtype, device: torch.device, who: str
) -> TimedModel:
    """A method's ``predict`` at a point. ``who`` names it in warnings."""
    made = _ready(model, dtype, device)

    def call(images: Tensor) -> Prediction:
        return made.predict(images, point)

    return TimedModel(who, made, call, "predict")


def check_compile(device: torch.device) -> None:
    """Raises: ``InputError`` where ``torch.compile`` does not work on this machine."""
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:160]
        raise InputError(
            f"torch.compile does not work on this machine ({reason}): install a C++ compiler (on a GPU, Triton), or "
            "leave out --compile"
        ) from error
    finally:
        torch.compiler.reset()


def _ready(module: ModuleT, dtype: Dtype, device: torch.device) -> ModuleT:
    """In eval mode, on the device, in the given type; the caller's own module keeps its type."""
    wanted = TORCH_DTYPE[dtype]
    if any(p.dtype != wanted and p.is_floating_point() for p in module.parameters()):
        module = copy.deepcopy(module)
    return module.to(device=device, dtype=wanted).eval()
