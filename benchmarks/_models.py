"""Models of the benchmarks: with drawn weights, on a published backbone, or trained before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynvit.backbones.build import BackboneSpec, build
from dynvit.interface import DynamicModel, OperatingPoint, methods
from dynvit.options import parse_options
from dynvit.session import OpenModel, Session, SessionRequest, Wanted, checkpoint_facts, open_session


def drawn(method: str, backbone: str, options: Sequence[str] = ()) -> DynamicModel:
    """``method`` on ``backbone`` with drawn weights: enough to count and to time what keeps a fixed number of tokens.

    Raises: ``InputError`` for a name or option that does not exist.
    """
    kind = methods.get(method)
    return kind().attach(build(BackboneSpec(backbone)), parse_options(kind.Options, options)).eval()


def point_at(model: DynamicModel, keep_ratio: float | None) -> OperatingPoint:
    """The point of a keep ratio; the model's own where there is none to choose."""
    return (model.neutral or OperatingPoint()) if keep_ratio is None else OperatingPoint(keep_ratio=keep_ratio)


def opened(method: str, **request: Any) -> tuple[Session, OpenModel]:
    """``method`` on a backbone's weights, drawn where none are named, and the session that it is open in.

    ``request`` is what a ``SessionRequest`` takes. Raises: ``InputError`` for what does not fit.
    """
    session = open_session(SessionRequest(**request))
    return session, session.open(Wanted.of(method))


def trained(checkpoint: Path, **request: Any) -> tuple[Session, OpenModel]:
    """A folder of ``dynvit train``, open with the splits that it was trained by.

    ``request`` is what a ``SessionRequest`` takes besides. Raises: ``InputError`` for what does not fit.
    """
    method = checkpoint_facts(checkpoint).method.name
    session = open_session(SessionRequest(method_checkpoint={method: (str(checkpoint),)}, **request))
    return session, session.open(Wanted.of(method, checkpoint=str(checkpoint)))
