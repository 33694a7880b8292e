"""Which attacks an accuracy has withstood: rows that have met others cannot be compared with it."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable

from dynvit.leaderboard.record import canonical
from dynvit.measurements.robustness.result import RobustnessResult

_PART = re.compile(r"(.+?):([0-9a-f]{8})(?: |$)")


def met_in(attacks: Iterable[RobustnessResult]) -> str:
    """By attack a hash of its settings and radii, each as often as it was tried: the same for rows that met the same.

    Variants and restarts stand in for each other: every model gets as many attempts, in the forms that it has.
    """
    tried: dict[str, list[str]] = defaultdict(list)
    for attack in attacks:
        how = canonical({"settings": attack.settings, "norm": attack.norm, "eps": attack.eps})
        tried[attack.attack].append(json.dumps(how, sort_keys=True))
    return " ".join(f"{name}:{_hash(each)}" for name, each in sorted(tried.items()))


def by_attack(met: str | None) -> dict[str, str]:
    """What ``met_in`` says of each attack; nothing where it is not told.

    >>> by_attack("fgsm:0123abcd my attack:4567cdef"), by_attack("?0123456789abcdef"), by_attack(None)
    ({'fgsm': '0123abcd', 'my attack': '4567cdef'}, {}, {})
    """
    return dict(_PART.findall(met or ""))


def differing(met: Iterable[str | None]) -> list[str]:
    """The attacks that rows have not met alike, by name; of those that do not tell, nothing."""
    told = [each for each in map(by_attack, met) if each]
    names = sorted({name for each in told for name in each})
    return [name for name in names if len({each.get(name) for each in told}) > 1]


def _hash(tried: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(tried)).encode()).hexdigest()[:8]
