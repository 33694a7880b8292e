"""Signs of gradient masking, read image by image from attacks: a model that only hides its gradient is not robust.

The signs are those of Athalye et al. 2018 (arXiv 1802.00420, §3.1) and Carlini et al. 2019 (arXiv 1902.06705): in a
sound evaluation a gradient helps, more steps and larger balls help, and a ball that contains every image leaves no
accuracy. A sign is a reason to look, no proof; no sign is no proof either. Imports no torch.

Two attacks differ on some images by chance. So each comparison is an exact test on the images where they differ, and of
one kind of sign all comparisons on a record together are wrong once in a hundred sound records at most (``LEVEL``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Literal

from dynvit.leaderboard.paired import exceeds, one_sided
from dynvit.leaderboard.per_sample import right_in_all

if TYPE_CHECKING:
    from dynvit.leaderboard.per_sample import Bools

LEVEL = 0.01
"""How probable it is at most that a sound record shows a given sign by chance: over all comparisons for that sign."""

LEFT_SHARE = 0.01
"""Of images that may become any other at most this share is left right by an attack that has not got far enough."""

FAR_PCT = 10.0
"""Points above the undefended backbone that want a reason."""

Sign = Literal[
    "black-box-stronger",
    "more-steps-weaker",
    "larger-eps-weaker",
    "unbounded-above-zero",
    "above-undefended",
    "frozen-stronger",
    "transfer-stronger",
]


@dataclass(frozen=True, eq=False)
class Measured:
    """What one attack left right, of the same images as those it is compared with.

    ``right``: which images, (n,). ``steps``: gradient steps from one start, 1 for FGSM, None for an attack without
    gradients. ``unbounded``: whether the ball contains every image (``Threat.unbounded``). ``settings``: the attack's,
    as text; a larger ball is only compared with a smaller one under the same settings. ``form``: of the model that was
    attacked; ``restart``: of the attack, 0 for its first attempt. Units: ``eps`` of pixels in [0, 1].
    """

    attack: str
    norm: str
    eps: float
    right: Bools
    steps: int | None
    unbounded: bool = False
    settings: str = ""
    form: str = "adaptive"
    restart: int = 0

    @property
    def left(self) -> int:
        """How many images it left right."""
        return int(self.right.sum())

    @property
    def ball(self) -> str:
        """Norm and radius, for people."""
        return f"{'L∞' if self.norm == 'linf' else 'L2'} {self.eps:.4g}"

    def __str__(self) -> str:
        of = f" of {self.steps} steps" if (self.steps or 0) > 1 else ""
        return f"{self.attack}{of}{'' if self.form == 'adaptive' else f' ({self.form})'}"


@dataclass(frozen=True)
class Finding:
    """One sign, in a sentence. ``where``: what it was looked for in; ``p_value``: how probable it is by chance."""

    sign: Sign
    where: str
    p_value: float
    text: str


def findings(
    measured: Sequence[Measured], undefended: Sequence[Measured] = (), *, better_pct: float = 0.0
) -> list[Finding]:
    """Every sign that these attacks show; none in a sound evaluation. Of one sign in one ball the clearest.

    ``undefended``: attacks on the static backbone, which was trained without a defence, on the same images.
    ``better_pct``: by how much the model is more accurate than that when nobody attacks. Units: percentage points.
    """
    own = [m for m in measured if m.form in ("adaptive", "soft") and not m.restart]
    kinds = (
        list(_black_box(own)),
        list(_steps(own)),
        list(_radius(own)),
        list(_unbounded(own)),
        list(_undefended(measured, undefended, FAR_PCT + better_pct)),
        list(_stand_ins(measured, own, "frozen")),
        list(_stand_ins(measured, own, "transfer")),
    )
    return [finding for kind in kinds for finding in _clearest(_significant(kind))]


def _black_box(own: Sequence[Measured]) -> Iterator[Finding]:
    for group in _grouped(own, _ball):
        # One step is no search: a black-box attack that is stronger says nothing of the gradient.
        black, white = [m for m in group if m.steps is None], [m for m in group if (m.steps or 0) > 1]
        for blind in black if white else ():
            best = min(white, key=lambda m: m.left)
            p, counts = _fools_more(blind.right, best.right)
            yield Finding(
                "black-box-stronger",
                blind.ball,
                p,
                f"at {blind.ball} {blind} without gradients fools what {best} with them does not: {counts}: "
                "the gradient misleads",
            )


def _steps(own: Sequence[Measured]) -> Iterator[Finding]:
    for group in _grouped(own, lambda m: (*_ball(m), m.form)):
        with_steps = sorted((m for m in group if m.steps is not None), key=lambda m: m.steps or 0)
        for few, many in combinations(with_steps, 2):
            if few.steps != many.steps:
                p, counts = _fools_more(few.right, many.right)
                text = f"at {many.ball} {few} fools what {many} does not: {counts}: more steps ought to be stronger"
                yield Finding("more-steps-weaker", many.ball, p, text)


def _radius(own: Sequence[Measured]) -> Iterator[Finding]:
    for group in _grouped(own, lambda m: (m.attack, m.steps, m.settings, m.norm, m.form)):
        for small, large in combinations(sorted(group, key=lambda m: m.eps), 2):
            if small.eps < large.eps:
                p, counts = _fools_more(small.right, large.right)
                text = (
                    f"{small} fools at {small.ball} what it does not at {large.ball}: {counts}: "
                    "a larger ball contains the smaller"
                )
                yield Finding("larger-eps-weaker", large.ball, p, text)


def _unbounded(own: Sequence[Measured]) -> Iterator[Finding]:
    for white in _grouped([m for m in own if m.unbounded and m.steps is not None], lambda m: m.norm):
        best = min(white, key=lambda m: m.left)
        p = exceeds(best.left, len(best.right), LEFT_SHARE)
        text = (
            f"{best} leaves {best.left} of {len(best.right)} images right at {best.ball}, where every image is allowed "
            f"(p = {p:.1g} that more than {100 * LEFT_SHARE:g} % is chance): none ought to be left"
        )
        yield Finding("unbounded-above-zero", best.ball, p, text)


def _undefended(measured: Sequence[Measured], undefended: Sequence[Measured], far: float) -> Iterator[Finding]:
    """Under all attempts of a ball together, whose number is the same for both."""
    ours, theirs = (
        {_ball(group[0]): right_in_all(one.right for one in group) for group in _grouped(those, _ball)}
        for those in (measured, undefended)
    )
    for ball, kept in ours.items():
        if ball not in theirs:
            continue
        p, counts = _fools_more(theirs[ball], kept, "images are kept that the backbone loses")
        gap, said = 100 * float(kept.mean() - theirs[ball].mean()), Measured("", *ball, kept, None).ball
        text = (
            f"all attempts at {said} leave {100 * kept.mean():.1f} %, of the backbone, trained without defence, "
            f"{100 * theirs[ball].mean():.1f} %: {counts}: masking until shown otherwise"
        )
        yield Finding("above-undefended", said, p if gap > far else 1.0, text)


def _stand_ins(
    measured: Sequence[Measured], own: Sequence[Measured], form: Literal["frozen", "transfer"]
) -> Iterator[Finding]:
    """A stand-in that fools the model where no gradient of its own does: the gates hide something."""
    for stand_in in measured:
        same = [
            m
            for m in own
            if (*_ball(m), m.attack, m.settings) == (*_ball(stand_in), stand_in.attack, stand_in.settings)
        ]
        if stand_in.form != form or not same:
            continue
        p, counts = _fools_more(stand_in.right, right_in_all(one.right for one in same))
        through = " and ".join(str(m) for m in same)
        text = (
            f"at {stand_in.ball} {stand_in} fools what {through} through the gates does not: {counts}: "
            "the gates hide the gradient"
        )
        yield Finding("frozen-stronger" if form == "frozen" else "transfer-stronger", stand_in.ball, p, text)


def _fools_more(one: Bools, other: Bools, what: str = "images") -> tuple[float, str]:
    """Whether the first leaves fewer right than the second: the p value, and the counts in words."""
    more, fewer = int((other & ~one).sum()), int((one & ~other).sum())
    p = one_sided(more, fewer)
    return p, f"{more} {what} against {fewer} the other way round, p = {p:.1g}"


def _significant(compared: Sequence[Finding]) -> list[Finding]:
    """Those that are no chance together, by Holm's step-down correction over all that were compared."""
    found = []
    for place, finding in enumerate(sorted(compared, key=lambda finding: finding.p_value)):
        if finding.p_value > LEVEL / (len(compared) - place):
            break
        found.append(finding)
    return found


def _clearest(found: Sequence[Finding]) -> Iterator[Finding]:
    """The first in each ball."""
    said = set[str]()
    for finding in found:
        if finding.where not in said:
            said.add(finding.where)
            yield finding


def _grouped(measured: Iterable[Measured], key: Callable[[Measured], object]) -> Iterator[list[Measured]]:
    for _, group in groupby(sorted(measured, key=lambda m: repr(key(m))), key=lambda m: repr(key(m))):
        yield list(group)


def _ball(measured: Measured) -> tuple[str, float]:
    return measured.norm, measured.eps
