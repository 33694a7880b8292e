"""In which round an image was answered, and how unsure each round was."""

from __future__ import annotations

from torch import Tensor

from dynvit.exits.model import ExitPrediction
from dynvit.interface import DynamicModel, Explanation, OperatingPoint
from dynvit.units import GIGA

from .model import ThinkingViTModel


def explain(model: DynamicModel, images: Tensor, point: OperatingPoint) -> list[Explanation]:
    """One explanation an image; its steps are the rounds that ran.

    Shape: images (B, 3, H, W). Units: steps ``confidence`` the largest softmax probability, ``answer`` a class,
    ``gmacs`` the cost of an image that is answered there.
    """
    assert isinstance(model, ThinkingViTModel)
    prediction = model.predict(images, point)
    assert prediction.usage.exit is not None
    left = prediction.usage.exit.tolist()
    return [_explain(model, prediction, point, image, last) for image, last in enumerate(left)]


def _explain(
    model: ThinkingViTModel, prediction: ExitPrediction, point: OperatingPoint, image: int, last: int
) -> Explanation:
    confidences, answers = prediction.exit_logits[: last + 1, image].softmax(-1).max(-1)
    spent, limits = model.exit_macs(), model.thresholds([point])[0].tolist()
    entropies = prediction.scores[: last + 1, image].tolist()
    verdicts = [_verdict(entropy, limits[k], left=k == last) for k, entropy in enumerate(entropies)]
    where = f"round {last + 1} of {len(model.rounds)} ({model.rounds[last]} of {model.rounds[-1]} heads, "
    work = f"{spent[last] / GIGA:.4g} of {spent[-1] / GIGA:.4g} GMACs)"
    return Explanation(
        answer=int(answers[-1]),
        macs=spent[last],
        text=f"answered in {where}{work}: entropy {', '.join(verdicts)}; confidence {float(confidences[-1]):.3f}",
        steps={
            "confidence": confidences.tolist(),
            "answer": answers.tolist(),
            "gmacs": [macs / GIGA for macs in spent[: last + 1]],
        },
    )


def _verdict(entropy: float, threshold: float, left: bool) -> str:
    held = "always goes on" if threshold <= 0 else f"{'<' if left else '≥'} {threshold:.3f}"
    return f"{entropy:.3f} {held}"
