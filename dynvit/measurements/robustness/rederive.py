"""What of an attack's line, and of a record's robustness in a board, follows from the rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dynvit.leaderboard.board import Entry, Leaderboard
from dynvit.leaderboard.contradiction import Contradiction, between, equal, share_of_images
from dynvit.leaderboard.record import saving_lost_pct
from dynvit.leaderboard.rederive import of_interval
from dynvit.measurements.rederive import Beside, of_images
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.summary import RobustEntry, RobustnessSummary

_IN_CONFIG = {"attack": "attack", "norm": "norm", "eps": "eps", "criterion": "goal", "variant": "variant"}


def of_result(result: RobustnessResult, beside: Beside) -> Iterator[Contradiction]:
    """What the configuration says, and what the images say."""
    config = beside.config
    for at, key in _IN_CONFIG.items():
        if key in config and getattr(result, at) is not None:
            yield from equal(at, getattr(result, at), config[key], "config")
    if "settings" in config:
        yield from equal("settings", result.settings, config["settings"], "config")
    if result.variant is not None:
        adaptive = result.variant in ("adaptive", "soft") and result.threat != "black-box"
        yield from equal("adaptive", result.adaptive, adaptive, f"{result.threat}, {result.variant}")
        transferred = "transfer" if result.variant == "transfer" else result.threat.replace("transfer", "white-box")
        yield from equal("threat", result.threat, transferred, f"variant {result.variant}")
    yield from of_images(result, beside)
    clean = result.clean_accuracy_pct
    if clean is not None and result.criterion == "misclassify":
        yield from between("accuracy_pct", result.accuracy_pct, 0, clean, "clean_accuracy_pct")
    if result.clean_gmacs_mean is not None and (result.criterion or "").startswith("slowdown"):
        if result.gmacs_mean < result.clean_gmacs_mean:
            yield Contradiction("gmacs_mean", "be clean_gmacs_mean or more after a slowdown", result.gmacs_mean)
        if result.variant == "static":
            yield from equal("gmacs_mean", result.gmacs_mean, result.clean_gmacs_mean, "variant static: all cost alike")


def of_summary(summary: RobustnessSummary, entry: Entry, board: Leaderboard) -> Iterator[Contradiction]:
    """Within a board: intervals, shares of images, what grows with the radius, savings lost."""
    for place, robust in enumerate(summary.accuracy):
        for found in _of_ball(robust):
            yield found.within(f"accuracy.{place}")
    for place, (small, large) in enumerate(pairwise(summary.accuracy), 1):
        if small.norm == large.norm and small.n == large.n:
            at = f"accuracy.{place}"
            yield from between(f"{at}.accuracy_pct", large.accuracy_pct, 0, small.accuracy_pct, "a smaller radius")
            yield from equal(f"{at}.clean_pct", large.clean_pct, small.clean_pct, "the same images")
            if large.attacks <= small.attacks or large.eps <= small.eps:
                yield Contradiction(f"{at}.attacks", "rise with the radius", large.attacks)
    for place, slow in enumerate(summary.slowdown):
        lost = saving_lost_pct(slow.gmacs_mean, slow.clean_gmacs_mean, board.setting.dense_gmacs)
        at = f"slowdown.{place}.saving_lost_pct"
        yield from equal(
            at, slow.saving_lost_pct, lost, "of gmacs_mean, clean_gmacs_mean and the setting's dense_gmacs"
        )


def _of_ball(robust: RobustEntry) -> Iterator[Contradiction]:
    for at in ("clean_pct", "accuracy_pct", "strongest_pct"):
        yield from share_of_images(at, getattr(robust, at), robust.n)
    yield from between("accuracy_pct", robust.accuracy_pct, 0, robust.strongest_pct, "strongest_pct")
    ends = robust.ci95_low_pct, robust.ci95_high_pct
    yield from of_interval("ci95", ends, correct=round(robust.accuracy_pct * robust.n / 100), n=robust.n)
