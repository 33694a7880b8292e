"""The names of splits: the one way to tell them, in folders, tables, shards and flags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from dynvit.data.listing import some
from dynvit.errors import InputError, unknown

TRAIN, VALIDATION, TEST, CALIBRATION = "train", "validation", "test", "calibration"
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("validation", "valid", "val", "dev", "development"),
    TEST: ("test", "testing", "tst", "eval", "evaluation"),
    CALIBRATION: ("calibration", "calib"),
}
"""What each split is called, in any case of letters."""

_SPLIT_OF = {word: split for split, words in SPELLINGS.items() for word in words}
_WORD = "|".join(sorted(_SPLIT_OF, key=len, reverse=True))
# training_set, seg_train, ILSVRC2012_img_val: words beside that name nothing else.
_BESIDE = r"datasets?|sets?|data|splits?|images?|imgs?|folder|seg|ilsvrc\d*"
_NAMED = re.compile(rf"(?:(?:{_BESIDE})[\W_]*)*(?P<word>{_WORD})(?:[\W_]*(?:{_BESIDE}))*", re.IGNORECASE)
_HOLDS = re.compile(rf"(?<![a-z])(?P<word>{_WORD})(?![a-z])", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?:{_WORD})[\W_]*v?\d+", re.IGNORECASE)
_LONGEST = 64  # characters; what is longer names more than a split
# imagenet1k-validation-b-03.tar, set_val_0.tar, train-00000-of-01024.tar. A split may hold dashes of its own.
_SHARD = re.compile(
    rf"(?<![^/\s'\"])(?P<file>(?:(?P<name>[^/\s'\"]+)[-_.])?(?P<split>(?:{_WORD})(?:-[a-z]\w*)*)"
    r"[-_.](?P<number>\d+)(?:-of-(?P<count>\d+))?\.tar)(?=$|[\s?'\"])",
    re.IGNORECASE,
)


class ShardName(NamedTuple):
    """What a shard's name says. ``written`` is the split as it stands there; ``total`` is that of ``-of-01024``."""

    file: str
    name: str
    written: str
    number: int
    total: int | None

    @property
    def split(self) -> str:
        """The split. ``validation-b`` is one of its own."""
        return split_named(self.written) or self.written


@lru_cache(maxsize=1 << 16)  # asked of every folder of every image
def split_named(name: str) -> str | None:
    """The split that a folder, a cell or a flag names; None where it names none.

    >>> [split_named(name) for name in ("Train", "training_set", "VAL", "dev", "extra", "validation-b")]
    ['train', 'train', 'validation', 'validation', None, None]
    """
    match = _NAMED.fullmatch(name.strip()) if len(name) <= _LONGEST else None
    return _SPLIT_OF[match["word"].lower()] if match else None


def split_within(name: str) -> str | None:
    """The one split that a longer name speaks of; None where there is none, or more than one.

    >>> split_within("imagenetv2-top-images-format-val"), split_within("train_test_split")
    ('validation', None)
    """
    found = {_SPLIT_OF[match["word"].lower()] for match in _HOLDS.finditer(name)}
    return found.pop() if len(found) == 1 else None


def speaks_of_splits(name: str) -> bool:
    """Whether any split is spoken of.

    >>> speaks_of_splits("train_test_split"), speaks_of_splits("training-notes"), speaks_of_splits("strain")
    (True, True, False)
    """
    return _HOLDS.search(name) is not None


def numbered_split(name: str) -> bool:
    """Whether a name is that of a split with a number or version, which is none that is known.

    >>> numbered_split("train2017"), numbered_split("val_v2"), numbered_split("train"), numbered_split("train car")
    (True, True, False, False)
    """
    return _NUMBERED.fullmatch(name) is not None


def shard_named(name: str) -> ShardName | None:
    """What a file's name says of a shard; None where it tells no split."""
    return _parsed(_SHARD.fullmatch(name))


def shard_in(address: str) -> ShardName | None:
    """The shard that an address or a command speaks of."""
    return _parsed(_SHARD.search(address))


def _parsed(match: re.Match[str] | None) -> ShardName | None:
    if match is None:
        return None
    count = match["count"]
    return ShardName(
        match["file"], match["name"] or "", match["split"], int(match["number"]), int(count) if count else None
    )


def find_split(asked: str, there: Iterable[str], what: str) -> str:
    """The split of ``there`` that is asked for: by its name, else by another spelling of it.

    Raises: ``InputError`` where there is none, or several are meant.
    """
    names = list(there)
    if asked in names:
        return asked
    wanted = split_named(asked) or asked.casefold()
    meant = [name for name in names if (split_named(name) or name.casefold()) == wanted]
    if len(meant) > 1:
        raise InputError(f"split {asked!r} of {what} may be any of {some(meant)}: give one as it is written")
    if not meant:
        raise unknown(f"split of {what}", asked, names)
    return meant[0]


def spellings_said() -> str:
    """The splits as they may be called, for messages."""
    return ", ".join(f"{split} ({'|'.join(words)})" for split, words in SPELLINGS.items())
