"""What rows must have in common before their numbers are compared: which images, which attacks.

A board says it of its rows only where they differ in it. So a row that says nothing has what all rows of its own board
have; beside rows of another board it is not known to have the same, unless a hash says so.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, TypeVar

from dynvit.leaderboard.record import Frozen

UNTOLD = "?"
"""Before the name of what one board's rows have in common, where nobody can tell what it is."""


class Termed(Frozen):
    """A summary whose numbers are compared with those of another only on the same terms."""

    def terms(self) -> dict[str, str | None]:
        """By name: a hash of what must be in common. None: what all rows of the board have."""
        raise NotImplementedError

    def on_terms(self, terms: Mapping[str, str | None]) -> Self:
        """The same with these terms, of the same names."""
        raise NotImplementedError


TermedT = TypeVar("TermedT", bound=Termed)
Said = Mapping[str, str | None]


def told(value: str | None) -> bool:
    """Whether a term says what it is of."""
    return value is not None and not value.startswith(UNTOLD)


def without_shared(summaries: Mapping[str, TermedT]) -> dict[str, TermedT]:
    """The summaries of one board, which say a term only where it tells two of them apart."""
    values: dict[str, set[str | None]] = defaultdict(set)
    for one in summaries.values():
        for term, value in one.terms().items():
            values[term].add(value)
    return {
        key: one.on_terms({term: value if len(values[term]) > 1 else None for term, value in one.terms().items()})
        for key, one in summaries.items()
    }


def told_apart(boards: Sequence[Mapping[str, TermedT]]) -> list[dict[str, TermedT]]:
    """The summaries of boards that are joined, by record id: what is shared within one is no longer left out."""
    said = [{key: one.terms() for key, one in board.items()} for board in boards]
    names = dict.fromkeys(term for board in said for terms in board.values() for term in terms)
    for term in names:
        found = _named([{key: terms[term] for key, terms in board.items() if term in terms} for board in said])
        for board in said:
            for key, terms in board.items():
                if term in terms and not told(terms[term]):
                    terms[term] = found[key]
    return [
        {key: one.on_terms(terms[key]) for key, one in board.items()} for board, terms in zip(boards, said, strict=True)
    ]


def untold_said(values: Iterable[str | None]) -> str:
    """How many of a term's several values nobody can tell, for a note; empty where all can be told."""
    unknown = sum(not told(value) for value in values)
    return f" ({unknown} of them not told by the boards that were joined)" if unknown else ""


def _named(boards: Sequence[Said]) -> dict[str, str]:
    """One term of the rows that do not tell it: what another board tells of one that shares it, else a name."""
    known = {key: value for board in boards for key, value in board.items() if value is not None and told(value)}
    sharing: dict[str | int, set[str]] = defaultdict(set)
    for place, board in enumerate(boards):
        for key, value in board.items():
            if not told(value):
                sharing[place if value is None else value].add(key)
    found = dict[str, str]()
    for keys in _overlapping(sharing.values()):
        values = {known[key] for key in keys if key in known}
        # Of several, the board that shares them was joined before they were told apart: what is left has its own.
        name = values.pop() if len(values) == 1 else _own_name(keys, boards)
        found |= {key: known.get(key, name) for key in keys}
    return found


def _own_name(keys: set[str], boards: Iterable[Said]) -> str:
    """The one that they have from an earlier join, else of them: the same join gives the same."""
    before = {value for board in boards for key, value in board.items() if key in keys and value and not told(value)}
    return min(before) if before else UNTOLD + hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


def _overlapping(groups: Iterable[set[str]]) -> list[set[str]]:
    """Groups that have a member in common are one."""
    found: list[set[str]] = []
    for group in groups:
        alike = [other for other in found if other & group]
        found = [*(other for other in found if not other & group), group.union(*alike)]
    return found
