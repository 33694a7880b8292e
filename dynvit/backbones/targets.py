"""From a target to the share of tokens that is trained for it."""

from __future__ import annotations

from collections.abc import Callable

from dynvit.errors import InputError


def check_target(target: float, lowest: float, who: str, at: str = "") -> None:
    """Raises: ``InputError`` for a target that no option reaches, with the range.

    Units: ``target`` and ``lowest`` as fractions of the backbone's MACs. ``at`` says in words what the range is of.
    """
    if not lowest <= target <= 1:
        said = f" ({at})" if at else ""
        raise InputError(
            f"a target of {who} on this backbone must be {lowest:.3f} to 1 of the dense MACs{said}, got {target:g}"
        )


def ratio_within(
    target: float,
    macs_at: Callable[[float], float],
    lowest: float,
    who: str,
    *,
    dense: float | None = None,
    of: str = "keep ratio",
) -> float:
    """The highest ratio of what is kept, in thousandths, at which an image costs at most ``target``.

    Args:
        target: a fraction of ``dense``.
        macs_at: MACs of an image at a ratio, rising with it but for a step just below 1.
        lowest: the lowest ratio.
        who: the method, for the message.
        dense: MACs of the backbone. Default: those at a ratio of 1.
        of: what the ratio is of, for the message.

    Returns: the ratio. Raises: ``InputError`` that names the feasible range.

    >>> ratio_within(0.6, lambda ratio: round(1000 * ratio), lowest=0.2, who="it")
    0.6
    """
    dense, low, high = macs_at(1.0) if dense is None else dense, round(1000 * lowest), 1000
    check_target(target, macs_at(low / 1000) / dense, who, f"{of} {lowest} to 1")
    if target == 1:
        return 1.0
    # Just below 1 predictors may cost more than the dropping saves: there the cost exceeds the dense one and every
    # target, so bisection finds the only crossing.
    while high - low > 1:
        middle = (low + high) // 2
        if macs_at(middle / 1000) <= target * dense:
            low = middle
        else:
            high = middle
    return low / 1000
