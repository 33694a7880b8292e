"""Which attacks are run: from names, radii and options to specifications; and those that show masked gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from dynvit.attacks import Attack, Norm, Threat, attacks
from dynvit.attacks.pgd import PGD
from dynvit.attacks.presets import PRESETS, preset
from dynvit.attacks.spec import AttackSpec
from dynvit.attacks.square import Square
from dynvit.errors import InputError, unknown
from dynvit.options import parse_options

# Radii of attacks that are asked for by name alone: the grid that the field reports on, for pixels in [0, 1].
_FINE = tuple(k / 255 for k in (0.25, 0.5, 1, 2, 4))
_COARSE = tuple(k / 255 for k in (1, 2, 4, 8))
_L2 = (0.1, 0.25, 0.5, 1.0)
FEW_STEPS, FEW_QUERIES = 5, 100


def specs_of(
    names: Sequence[str],
    *,
    norm: Norm = "linf",
    eps: Sequence[float] = (),
    options: Mapping[str, Sequence[str]] | None = None,
    large_images: bool = False,
) -> tuple[AttackSpec, ...]:
    """Presets as they are; attacks at every radius, the field's grid where none is given. The smallest radius first.

    Raises: ``InputError`` for a name that is neither, a norm or radius that is none, an option of an attack not asked.
    """
    given, specs = dict(options or {}), list[AttackSpec]()
    for name in given:
        if name not in names:
            raise InputError(f"attack {name!r} is not run: --robustness has {', '.join(names) or 'nothing'}")
    grid = tuple(eps) or (_L2 if norm == "l2" else _FINE if large_images else _COARSE)
    threats = [Threat(norm, radius) for radius in grid]
    for name in names:
        if name in PRESETS:
            if eps:
                raise InputError(f"preset {name!r} has its own eps: leave out --eps, or name attacks instead")
            if given.get(name):
                raise InputError(f"preset {name!r} has its own settings: name its attacks instead")
            if norm != "linf":
                raise InputError(f"preset {name!r} has its own norm: leave out --norm, or name attacks instead")
            specs += preset(name).specs
        elif name in attacks.names():
            attack = parse_options(attacks.get(name), given.get(name, ()))
            specs += [AttackSpec(name, attack, threat) for threat in threats]
        else:
            raise unknown("attack or preset", name, [*attacks.names(), *PRESETS])
    return tuple(sorted(dict.fromkeys(specs), key=lambda spec: (spec.threat.norm, spec.threat.eps)))


def attacks_named(names: Sequence[str]) -> list[Attack]:
    """The attacks behind names of attacks and presets, by their defaults; names that there are not are left out."""
    found = [spec.attack for name in names if name in PRESETS for spec in preset(name).specs]
    return [*found, *(attacks.get(name)() for name in names if name in attacks.names())]


def search_spec(specs: Sequence[AttackSpec]) -> AttackSpec:
    """The one attack that a search looks at: at the middle radius, the one of the most steps with gradients.

    At the smallest radii nothing falls and at the largest everything, so neither would tell points apart.
    """
    middle = sorted({spec.threat.eps for spec in specs})[len({spec.threat.eps for spec in specs}) // 2]
    there = [spec for spec in specs if spec.threat.eps == middle]
    return max(there, key=lambda spec: (not spec.attack.black_box, getattr(spec.attack, "steps", 1)))


def masking_checks(specs: Sequence[AttackSpec], size: Sequence[int]) -> Iterator[AttackSpec]:
    """What tells robustness from masking, at each norm's largest radius: fewer steps, no gradient, no bound."""
    for norm in sorted({spec.threat.norm for spec in specs}):
        those = [spec for spec in specs if spec.threat.norm == norm]
        top = max((spec.threat for spec in those), key=lambda threat: threat.eps)
        if top.eps == 0:
            continue
        yield AttackSpec("pgd", PGD(steps=FEW_STEPS), top)
        if not any(spec.attack.black_box and spec.threat == top for spec in those):
            yield AttackSpec("square", Square(queries=FEW_QUERIES), top)
        everything = 0.5 if norm == "linf" else math.ceil(0.5 * math.sqrt(3 * math.prod(size)))
        yield AttackSpec("pgd", PGD(), Threat(norm, everything))
