"""What there is, by name: patterns as ``timm.list_models`` takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from dynvit.errors import InputError

Pattern = str | Sequence[str]

SHOWN_BACKBONES = (
    "vit_digits*",
    "vit_cifar*",
    "levit_cifar*",
    "levit_[123]??",
    "deit*_patch16_*",
    "vit_*_patch16_224",
    "t2t_vit_*",
)
"""What is listed where nobody says which of timm's thousand."""


def list_methods(pattern: Pattern = "*", *, plugin: Pattern = ()) -> list[str]:
    """Methods whose names match; ``plugin`` are files to load first.

    >>> list_methods("d*t")
    ['dvt', 'dynamicvit']
    """
    from dynvit.interface import methods

    load_plugins(plugin)
    return matching(methods.names(), pattern)


def list_backbones(pattern: Pattern = SHOWN_BACKBONES, *, plugin: Pattern = ()) -> list[str]:
    """Backbones of timm's, and those that dynvit or plug-ins register with timm.

    >>> list_backbones("vit_digits*")
    ['vit_digits']
    """
    import timm

    import dynvit.backbones.build  # noqa: F401 - registers ours

    load_plugins(plugin)
    return matching(timm.list_models(), pattern)


def list_datasets(pattern: Pattern = "*", *, plugin: Pattern = ()) -> list[str]:
    """Registered data sets.

    >>> list_datasets("cifar*")
    ['cifar10', 'cifar100']
    """
    from dynvit.data.datasets import datasets

    load_plugins(plugin)
    return matching(datasets.names(), pattern)


def list_attacks(pattern: Pattern = "*", *, plugin: Pattern = ()) -> list[str]:
    """Attacks.

    >>> list_attacks("*pgd*")
    ['apgd', 'apgd-t', 'pgd']
    """
    from dynvit.attacks import attacks

    load_plugins(plugin)
    return matching(attacks.names(), pattern)


def list_measurements(pattern: Pattern = "*", *, plugin: Pattern = ()) -> list[str]:
    """What can be measured of a model beside accuracy and compute.

    >>> list_measurements("s*")
    ['speed']
    """
    from dynvit.measurements.base import measurements

    load_plugins(plugin)
    return matching(measurements.names(), pattern)


def list_checkpoints(pattern: Pattern = "*", *, plugin: Pattern = ()) -> list[str]:
    """Published checkpoints, which ``load`` fetches by name.

    >>> list_checkpoints("dvt-deit*")
    ['dvt-deit-s']
    """
    load_plugins(plugin)
    return matching(published(), pattern)


def published() -> dict[str, str]:
    """The method of each published checkpoint, by the checkpoint's name."""
    from dynvit.interface import methods

    return {one.name: name for name, method in methods.load_all().items() for one in method.published}


def matching(names: Iterable[str], pattern: Pattern) -> list[str]:
    """The names that one of the patterns matches, in order.

    >>> matching(["mia", "dvt", "dense"], "d*")
    ['dense', 'dvt']
    """
    patterns = _each(pattern)
    return sorted(name for name in names if any(fnmatchcase(name, one) for one in patterns))


def load_plugins(files: Pattern) -> None:
    """Load one-file plug-ins. Raises: as ``dynvit.registry.load_plugin``."""
    from dynvit.registry import load_plugin

    for file in [files] if isinstance(files, str) else files:
        load_plugin(file)


def _each(pattern: Pattern) -> list[str]:
    """Raises: ``InputError`` for what is neither a pattern nor several."""
    found = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(found, Iterable) or not all(isinstance(one, str) for one in found):
        raise InputError(f"a pattern must be text or a list of texts, got {pattern!r}: write 'd*' for one")
    return list(found)
