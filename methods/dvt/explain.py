"""Where an image leaves the cascade, and how confident each exit was."""

from __future__ import annotations

from torch import Tensor

from dynvit.exits.model import ExitPrediction
from dynvit.interface import DynamicModel, Explanation, OperatingPoint
from dynvit.units import GIGA

from .cascade import Cascade


def explain(model: DynamicModel, images: Tensor, point: OperatingPoint) -> list[Explanation]:
    """One explanation an image; its steps are the exits that ran.

    Shape: images (B, 3, H, W). Units: steps ``confidence`` the largest softmax probability, ``answer`` a class,
    ``gmacs`` the cost of an image that leaves there.
    """
    assert isinstance(model, Cascade)
    prediction = model.predict(images, point)
    assert prediction.usage.exit is not None
    left = prediction.usage.exit.tolist()
    return [_explain(model, prediction, point, image, last) for image, last in enumerate(left)]


def _explain(model: Cascade, prediction: ExitPrediction, point: OperatingPoint, image: int, last: int) -> Explanation:
    probabilities = prediction.exit_logits[: last + 1, image].softmax(-1)
    confidences, answers = probabilities.max(-1)
    exits, gmacs = len(model.exits), [macs / GIGA for macs in model.exit_macs()]
    limits = model.thresholds([point])[0].tolist()
    scores = prediction.scores[: last + 1, image].tolist()
    verdicts = [_verdict(score, limits[k], left=k == last) for k, score in enumerate(scores)]
    if last == exits - 1:
        verdicts.append(f"{float(confidences[-1]):.3f} at the last")
    grid = model.exits[last].grid
    where = f"exit {last + 1} of {exits} ({grid}×{grid} tokens, {gmacs[last]:.4g} of {gmacs[-1]:.4g} GMACs)"
    return Explanation(
        answer=int(answers[-1]),
        macs=model.exit_macs()[last],
        text=f"leaves at {where}: {model.options.criterion} {', '.join(verdicts)}",
        steps={"confidence": confidences.tolist(), "answer": answers.tolist(), "gmacs": gmacs[: last + 1]},
    )


def _verdict(score: float, threshold: float, left: bool) -> str:
    held = "always kept" if threshold >= 1 else f"{'≥' if left else '<'} {threshold:.3f}"
    return f"{score:.3f} {held}"
