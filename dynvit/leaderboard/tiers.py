"""How far an entry can be trusted: derived from what lies beside its board, and never read from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.contradiction import alike
from dynvit.leaderboard.per_sample import PerSampleResults
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.verification import Agreement, Verification, agreement

Tier = Literal["self-reported", "evidence checked", "re-measured"]
"""Self-reported: nothing but the number. Evidence checked: per-sample results lie beside it, and every number that
follows from others was derived again. Re-measured: somebody measured it again, and it agrees."""
SELF_REPORTED: Tier = "self-reported"
CHECKED: Tier = "evidence checked"
REMEASURED: Tier = "re-measured"


@dataclass(frozen=True)
class Evidence:
    """What lies beside a board, by record id.

    ``contradicted`` are the entries of which some number does not follow from the rest; ``seed_sd`` is the standard
    deviation of an accuracy over seeds, points, where that is known.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    per_sample: Mapping[str, PerSampleResults] = field(default_factory=dict)
    again: Mapping[str, Sequence[Verification]] = field(default_factory=dict)
    contradicted: Set[str] = frozenset()
    seed_sd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """An entry's tier, and what was measured of it again, the newest last, each with whether it agrees."""

    tier: Tier
    again: tuple[tuple[Verification, Agreement], ...] = ()

    @property
    def is_disputed(self) -> bool:
        """Whether the newest measurement does not agree."""
        return bool(self.again) and not self.again[-1][1].holds

    @property
    def said(self) -> str:
        """The tier, with who measured again, when, and with what result."""
        if not self.again:
            return self.tier
        newest, found = self.again[-1]
        head = f"{self.tier}, DISPUTED" if self.is_disputed else self.tier
        return f"{head} by {newest.by} on {newest.date_utc:%Y-%m-%d} ({newest.way}; {found.said})"


def tier(entry: Entry, evidence: Evidence) -> Standing:
    """The tier of a board's entry. What contradicts itself is self-reported, whatever else lies there."""
    name = entry.record_id
    if name in evidence.contradicted:
        return Standing(SELF_REPORTED)
    kept = evidence.per_sample.get(name)
    again = tuple(
        (one, agreement(one, entry, kept, evidence.records.get(name), evidence.seed_sd.get(name)))
        for one in sorted(evidence.again.get(name, ()), key=lambda one: one.date_utc)
    )
    if again and again[-1][1].holds:
        return Standing(REMEASURED, again)
    checked = kept is not None and alike(100 * int(kept.bits().sum()) / kept.n, entry.top1_pct)
    return Standing(CHECKED if checked else SELF_REPORTED, again)
