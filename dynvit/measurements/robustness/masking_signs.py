"""Signs of gradient masking, read from accuracies under attack: a model that only hides its gradient is not robust.

The signs are those of Athalye et al. 2018 (arXiv 1802.00420, §3.1) and Carlini et al. 2019 (arXiv 1902.06705): in a
sound evaluation a gradient helps, more steps and larger balls help, and a ball that contains every image leaves no
accuracy. A sign is a reason to look, no proof; no sign is no proof either. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Sign = Literal[
    "black-box-stronger", "more-steps-weaker", "larger-eps-weaker", "unbounded-above-zero", "above-undefended"
]


@dataclass(frozen=True)
class Measured:
    """One accuracy under attack, over the same images as those it is compared with.

    ``steps``: gradient steps from one start, 1 for FGSM, None for an attack without gradients.
    ``unbounded``: whether the ball contains every image (``Threat.unbounded``). ``settings``: the attack's, as text; a
    larger ball is only compared with a smaller one under the same settings. Units: ``eps`` of pixels in [0, 1].
    """

    attack: str
    norm: str
    eps: float
    accuracy_pct: float
    steps: int | None
    unbounded: bool = False
    settings: str = ""

    @property
    def ball(self) -> str:
        """Norm and radius, for people."""
        return f"{'L∞' if self.norm == 'linf' else 'L2'} {self.eps:.4g}"

    def __str__(self) -> str:
        return f"{self.attack}{f' of {self.steps} steps' if (self.steps or 0) > 1 else ''}"


@dataclass(frozen=True)
class Finding:
    """One sign, in a sentence."""

    sign: Sign
    text: str


def findings(
    measured: Sequence[Measured],
    undefended: Sequence[Measured] = (),
    *,
    slack_pct: float = 1.0,
    far_pct: float = 10.0,
) -> tuple[Finding, ...]:
    """Every sign that these accuracies show; none in a sound evaluation.

    ``undefended``: the same attacks on the static backbone, which was trained without a defence. Units: percentage
    points; ``slack_pct`` by which accuracies may differ by chance, ``far_pct`` above the backbone that need a reason.
    """
    found = [
        *_black_box(measured, slack_pct),
        *_steps(measured, slack_pct),
        *_radius(measured, slack_pct),
        *_unbounded(measured, slack_pct),
        *_undefended(measured, undefended, far_pct),
    ]
    return tuple(found)


def _black_box(measured: Sequence[Measured], slack: float) -> Iterator[Finding]:
    for group in _grouped(measured, _ball):
        # One step is no search: a black-box attack that is stronger says nothing of the gradient.
        black, white = [m for m in group if m.steps is None], [m for m in group if (m.steps or 0) > 1]
        if not (black and white):
            continue
        low, best = min(black, key=_accuracy), min(white, key=_accuracy)
        if low.accuracy_pct < best.accuracy_pct - slack:
            yield Finding(
                "black-box-stronger",
                f"{low} without gradients leaves {low.accuracy_pct:.1f} % at {low.ball}, {best} with them "
                f"{best.accuracy_pct:.1f} %: the gradient misleads",
            )


def _steps(measured: Sequence[Measured], slack: float) -> Iterator[Finding]:
    for group in _grouped(measured, _ball):
        with_steps = sorted((m for m in group if m.steps is not None), key=lambda m: m.steps or 0)
        for few, many in ((a, b) for i, a in enumerate(with_steps) for b in with_steps[i + 1 :]):
            if few.steps != many.steps and many.accuracy_pct > few.accuracy_pct + slack:
                yield Finding(
                    "more-steps-weaker",
                    f"{many} leaves {many.accuracy_pct:.1f} % at {many.ball}, {few} {few.accuracy_pct:.1f} %: "
                    "more steps ought to be stronger",
                )


def _radius(measured: Sequence[Measured], slack: float) -> Iterator[Finding]:
    for group in _grouped(measured, lambda m: (m.attack, m.steps, m.settings, m.norm)):
        by_eps = sorted(group, key=lambda m: m.eps)
        for place, large in enumerate(by_eps[1:], 1):
            small = min(by_eps[:place], key=_accuracy)
            if small.eps < large.eps and large.accuracy_pct > small.accuracy_pct + slack:
                yield Finding(
                    "larger-eps-weaker",
                    f"{large} leaves {large.accuracy_pct:.1f} % at {large.ball} and "
                    f"{small.accuracy_pct:.1f} % at {small.ball}: a larger ball contains the smaller",
                )


def _unbounded(measured: Sequence[Measured], slack: float) -> Iterator[Finding]:
    for white in _grouped([m for m in measured if m.unbounded and m.steps is not None], lambda m: m.norm):
        if (best := min(white, key=_accuracy)).accuracy_pct > slack:
            yield Finding(
                "unbounded-above-zero",
                f"{best} leaves {best.accuracy_pct:.1f} % at {best.ball}, where every image is allowed: "
                "it ought to reach 0",
            )


def _undefended(measured: Sequence[Measured], undefended: Sequence[Measured], far: float) -> Iterator[Finding]:
    ours, theirs = ({_ball(group[0]): group for group in _grouped(those, _ball)} for those in (measured, undefended))
    for ball in (ball for ball in ours if ball in theirs):
        low, base = (min(those[ball], key=_accuracy) for those in (ours, theirs))
        if low.accuracy_pct > base.accuracy_pct + far:
            yield Finding(
                "above-undefended",
                f"{low}, the strongest, leaves {low.accuracy_pct:.1f} % at {low.ball}; the backbone, trained "
                f"without defence, keeps {base.accuracy_pct:.1f} %: masking until shown otherwise",
            )


def _grouped(measured: Iterable[Measured], key: Callable[[Measured], object]) -> Iterator[list[Measured]]:
    for _, group in groupby(sorted(measured, key=lambda m: repr(key(m))), key=lambda m: repr(key(m))):
        yield list(group)


def _ball(measured: Measured) -> tuple[str, float]:
    return measured.norm, measured.eps


def _accuracy(measured: Measured) -> float:
    return measured.accuracy_pct
