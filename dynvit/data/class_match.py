"""Whether classes are those of a data set: by name, synset, number or alias, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dynvit.data.class_order import whole_number
from dynvit.data.datasets import DatasetSpec
from dynvit.data.listing import cut
from dynvit.errors import InputError

if TYPE_CHECKING:
    from timm.data import ImageNetInfo

_SYNSET = re.compile(r"(n\d{8})(?:\W+(.*))?", re.DOTALL)
_THOUSAND = ("imagenet", 1000)
# What the makers of CIFAR and of ImageNet's subsets call a class, and what others do.
_ALIASES = {
    "plane": "airplane",
    "aeroplane": "airplane",
    "car": "automobile",
    "auto": "automobile",
    "computer keyboard": "keyboard",
    "sweet peppers": "sweet pepper",
    "lawnmower": "lawn mower",
    "tv": "television",
    "maple": "maple tree",
    "oak": "oak tree",
    "palm": "palm tree",
    "pine": "pine tree",
    "willow": "willow tree",
    "chainsaw": "chain saw",
}


def label_translation(names: Sequence[str], spec: DatasetSpec, where: str) -> Mapping[int, int] | None:
    """The label of the data set for each label of the images whose classes are called so; None where they are equal.

    Classes that are all numbers are the labels themselves. Where the data set has no names there is nothing to compare.

    >>> from dynvit.data.datasets import datasets
    >>> cifar10 = datasets.get("cifar10")
    >>> label_translation(["plane", "car", *cifar10.class_names[2:]], cifar10, "classnames.txt")
    >>> label_translation(["truck", "Airplane"], cifar10, "classnames.txt")
    {0: 9, 1: 0}

    Raises: ``InputError`` with the first difference where a class is none of the data set's, or may be several.
    """
    numbers = [whole_number(name) for name in names]
    if not names or None not in numbers:
        by_number = {label: number for label, number in enumerate(numbers) if number is not None}
        _check_range(by_number, spec, where)
        return None if all(label == number for label, number in by_number.items()) else by_number
    own = _own_names(spec)
    if not own or tuple(names) == own:
        return None
    candidates = _Known.of(own).find(names)
    if len(names) == len(own) and all(label in found for label, found in enumerate(candidates)):
        return None
    taken: dict[int, int] = {}
    for label, found in enumerate(candidates):
        if len(found) != 1:
            why = f"is none of {spec.name}'s classes" if not found else f"may be any of {len(found)} classes"
            raise _differ(names, own, candidates, spec, where, f"{cut(names[label])!r} {why}")
        (place,) = found
        if place in taken:
            twice = f"{cut(names[taken[place]])!r} and {cut(names[label])!r} are one class"
            raise _differ(names, own, candidates, spec, where, twice)
        taken[place] = label
    return {label: place for place, label in taken.items()}


def check_same_classes(names: Sequence[str], spec: DatasetSpec, where: str) -> None:
    """Check that a label means the same class, where both sides name their classes.

    Raises: ``InputError`` with the first difference.
    """
    own = _own_names(spec)
    if not names or not own or tuple(names) == own:
        return
    if any(whole_number(name) is None for name in (*names, *own)) and _numbers(names) == _numbers(own):
        translation = label_translation(names, spec, where)
        if translation is None:
            return
        label = next((label for label, place in translation.items() if label != place), len(names))
    else:
        label = next((i for i, (a, b) in enumerate(zip(names, own, strict=False)) if a != b), min(len(names), len(own)))
    raise InputError(f"{spec.name} has other classes than {where}: {_at(label, names, own, spec)}")


def _numbers(names: Sequence[str]) -> bool:
    return all(whole_number(name) is not None for name in names)


def _at(label: int, names: Sequence[str], own: Sequence[str], spec: DatasetSpec) -> str:
    there, here = (repr(cut(each[label])) if label < len(each) else "nothing" for each in (names, own))
    return f"the first difference is class {label}, {there} there and {here} in {spec.name}"


def _check_range(by_number: Mapping[int, int], spec: DatasetSpec, where: str) -> None:
    largest = max(by_number.values(), default=0)
    if largest >= spec.num_classes:
        raise InputError(
            f"{where} names class {largest}, and {spec.name} has 0 to {spec.num_classes - 1}: is it that data set?"
        )


def _differ(
    names: Sequence[str],
    own: Sequence[str],
    candidates: Sequence[frozenset[int]],
    spec: DatasetSpec,
    where: str,
    why: str,
) -> InputError:
    """The refusal, with the first label that means another class here and there."""
    at = next((i for i, found in enumerate(candidates) if i not in found), min(len(names), len(own)))
    return InputError(
        f"{spec.name} has other classes than {where}: {why}; {_at(at, names, own, spec)}; open the data by their path, "
        "or remove the file where their labels are right all the same"
    )


@dataclass(frozen=True)
class _Known:
    """The classes of a data set by what they may be called: by their own name, or by another of their names."""

    exact: Mapping[str, frozenset[int]]
    loose: Mapping[str, frozenset[int]]

    @classmethod
    def of(cls, own: Sequence[str]) -> _Known:
        exact: dict[str, set[int]] = {}
        loose: dict[str, set[int]] = {}
        for label, name in enumerate(own):
            exact.setdefault(_key(name), set()).add(label)
            for other in _other_names(name):
                loose.setdefault(other, set()).add(label)
        return cls(*({key: frozenset(labels) for key, labels in each.items()} for each in (exact, loose)))

    def find(self, names: Iterable[str]) -> list[frozenset[int]]:
        """The classes that each name may mean, by the surest way that gives any."""
        return [self._find(name) for name in names]

    def _find(self, name: str) -> frozenset[int]:
        key = _key(name)
        if found := self.exact.get(key) or self.loose.get(key):
            return found
        if (alias := _ALIASES.get(key)) and (found := self.exact.get(alias) or self.loose.get(alias)):
            return found
        others = _other_names(name)
        return frozenset().union(
            *(each.get(other, frozenset()) for each in (self.exact, self.loose) for other in others)
        )


def _own_names(spec: DatasetSpec) -> tuple[str, ...]:
    if not spec.class_names and (spec.name, spec.num_classes) == _THOUSAND:
        return _synsets()
    return spec.class_names


@lru_cache(maxsize=1)
def _imagenet() -> ImageNetInfo:
    from timm.data import ImageNetInfo  # brings torch, so only where synsets are compared

    return ImageNetInfo("imagenet-1k")


def _synsets() -> tuple[str, ...]:
    return tuple(_imagenet().label_names())


def _key(name: str) -> str:
    """A name without what people write differently; of a name with its synset the synset."""
    synset = _SYNSET.fullmatch(name.strip())
    return synset[1] if synset else " ".join(re.split(r"[\s_-]+", name.casefold())).strip()


def _other_names(name: str) -> list[str]:
    """What else a class is called: the words of its synset, and each of several with commas between."""
    synset = _SYNSET.fullmatch(name.strip())
    said = [_words(synset[1]), synset[2] or ""] if synset else [name]
    parts = [part for text in said for part in (text, *text.split(","))]
    return list(dict.fromkeys(key for part in parts if (key := _key(part))))


def _words(synset: str) -> str:
    """WordNet's words for a synset; none where timm does not know it."""
    try:
        return str(_imagenet().label_name_to_description(synset, detailed=False))
    except (KeyError, ValueError):
        return ""
