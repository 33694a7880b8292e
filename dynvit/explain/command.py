"""What ``dynvit explain`` does and says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dynvit.explain.block_pictures import draw_kept
from dynvit.explain.canvas import write_png
from dynvit.explain.dataset import explain_dataset
from dynvit.explain.exit_pictures import draw_explanations
from dynvit.explain.images import as_seen, explain_images, read_image
from dynvit.explain.request import ExplainRequest
from dynvit.explain.settings import ExplainSettings
from dynvit.explain.trained import Trained
from dynvit.figures import write_rows
from dynvit.interface import Explanation
from dynvit.knobs import parse_point, point_said
from dynvit.request import SessionRequest
from dynvit.settings import flags_of, validated


def run_explain(given: Mapping[str, Any]) -> Iterator[str]:
    """Explain, line by line; pictures go to ``output``. ``given`` are the options of ``dynvit explain``.

    Raises: ``InputError`` for whatever is wrong, before a picture is written.
    """
    flags = {flag.name: flag for flag in flags_of(SessionRequest)}
    asked = {flags[name].field: value for name, value in given.items() if name in flags}
    session = validated(SessionRequest, asked, flags.values())
    own = {name: value for name, value in given.items() if name not in flags}
    drawn = {flag.name: flag for flag in flags_of(ExplainSettings)}
    said = {name: drawn[name].read(own.pop(name)) for name in list(own) if name in drawn}
    settings = validated(ExplainSettings, said, drawn.values())
    request = ExplainRequest(knobs=own.pop("knob", ()), session=session, settings=settings, **own)
    request.check()
    images = [read_image(path) for path in request.images]
    trained = Trained.read(request.method, request.checkpoint, request.session)
    if request.knobs:
        parse_point(trained.opened.knobs, request.knobs)
    return explain_dataset(request, trained) if request.session.dataset else _explain_images(request, trained, images)


def _explain_images(request: ExplainRequest, trained: Trained, images: Sequence[Image.Image]) -> Iterator[str]:
    point = request.point(trained)
    found = explain_images(trained, images, point)
    yield f"at {point_said(point)}"
    answers = [trained.opened.class_name(explanation.answer) for explanation in found]
    for path, answer, explanation in zip(request.images, answers, found, strict=True):
        yield f"{path}: {answer}; {explanation.text}"
    if request.output is not None:
        names = [f"{path.name}: {answer}" for path, answer in zip(request.images, answers, strict=True)]
        if any(explanation.blocks for explanation in found):
            picture = draw_kept([as_seen(trained, image) for image in images], found, names)
        else:
            picture = draw_explanations(images, found, names)
        yield str(write_png(picture, request.output / "explained.png"))
        rows = [row for path, e in zip(request.images, found, strict=True) for row in _rows(path, e)]
        yield str(write_rows(rows, request.output / "explained.csv"))


def _rows(path: Path, explanation: Explanation) -> Iterator[dict[str, Any]]:
    for name, values in (explanation.steps or {"answer": [explanation.answer]}).items():
        for step, value in enumerate(values, 1):
            yield {"image": str(path), "number": name, "step": step, "value": f"{value:.6g}"}
