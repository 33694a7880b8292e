"""Corruptions of a board on the terminal, and as rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.naming import point_names
from dynvit.leaderboard.table import digits, plain_table
from dynvit.measurements.corruption.result import GENERATED
from dynvit.measurements.corruption.summary import CorruptionSummary
from dynvit.measurements.terms import UNTOLD, told, untold_said
from dynvit.terminal import Table

_NAMED = 4  # corruptions that a caption names; of more their number


class CorruptionSet(NamedTuple):
    """What rows must have in common before their means may be compared."""

    source: str
    corruptions: tuple[tuple[str, tuple[int, ...]], ...]
    n: int
    images: str | None

    def said(self) -> str:
        """In words."""
        names = ", ".join(name for name, _ in self.corruptions)
        what = names if len(self.corruptions) <= _NAMED else f"{len(self.corruptions)} corruptions"
        each = list(dict.fromkeys(severities for _, severities in self.corruptions))
        at = f"severities {', '.join(map(str, each[0]))}" if len(each) == 1 else "not all at the same severities"
        which = "" if self.images is None else f" ({'' if told(self.images) else 'not told, '}{self.named()})"
        return f"{what}, {at}, {self.source}, {self.n:,} images{which}"

    def named(self) -> str:
        """The start of the images' hash."""
        return (self.images or "").removeprefix(UNTOLD)[:4]


def corruption_table(board: Leaderboard, summaries: Mapping[str, CorruptionSummary]) -> Table | None:
    """One row an entry that was measured under corruptions; ``None`` where none was."""
    measured = [(e, summaries[e.record_id]) for e in board.entries if e.record_id in summaries]
    if not measured:
        return None
    sets = _sets(summaries)
    shown = plain_table("under corruptions", _caption([summary for _, summary in measured], sets))
    if len(sets) > 1:
        shown.add_column("set", justify="right", no_wrap=True)
    shown.add_column("method")
    shown.add_column("point")
    mce = any(corruption.mce_pct is not None for _, corruption in measured)
    for heading in ("clean %", "corrupted %", *(["mCE %"] if mce else []), "GMACs", "drift %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    decimals, names = digits(board.setting.dense_gmacs), point_names(board)
    for entry, corruption in measured:
        interval = f"[{corruption.accuracy_ci95_low_pct:.1f}, {corruption.accuracy_ci95_high_pct:.1f}]"
        shown.add_row(
            *([str(sets.index(_set_of(corruption)) + 1)] if len(sets) > 1 else []),
            entry.method,
            names[entry.record_id],
            _number(corruption.clean_accuracy_pct, ".2f"),
            f"{corruption.accuracy_pct:.2f} {interval}",
            *([_number(corruption.mce_pct, ".1f")] if mce else []),
            f"{corruption.gmacs_mean:.{decimals}f}",
            _number(corruption.gmacs_drift_pct, "+.1f"),
        )
    return shown


def rows(board: Leaderboard, summaries: Mapping[str, CorruptionSummary]) -> list[dict[str, Any]]:
    """A line for each entry and corruption."""
    return [
        {"method": entry.method, "record_id": entry.record_id, "source": summary.source, "n": summary.n}
        | row.model_dump(mode="json", exclude={"severities"})
        | {"severities": " ".join(map(str, row.severities))}
        for entry in board.entries
        if (summary := summaries.get(entry.record_id)) is not None
        for row in summary.corruptions
    ]


def unequal_sets(summaries: Mapping[str, CorruptionSummary]) -> Iterator[str]:
    """A line where rows are of other corruptions, severities or images: their means are of different things."""
    sets = _sets(summaries)
    several = any(one.images is not None for one in sets)  # else all have the same
    if len(sets) > 1:
        yield (
            f"rows are under {len(sets)} sets of corruptions, severities and images"
            f"{untold_said(one.images for one in sets if several)}, and cannot be compared with one another: bench "
            "all by the same --corruptions, --severities, --corruptions-limit and --data-seed"
        )


def _set_of(summary: CorruptionSummary) -> CorruptionSet:
    return CorruptionSet(
        summary.source, tuple((row.name, row.severities) for row in summary.corruptions), summary.n, summary.images
    )


def _sets(summaries: Mapping[str, CorruptionSummary]) -> list[CorruptionSet]:
    return list(dict.fromkeys(map(_set_of, summaries.values())))


def _caption(summaries: Sequence[CorruptionSummary], sets: Sequence[CorruptionSet]) -> str:
    first = summaries[0]
    if len(sets) > 1:
        each = (f"{place}: {one.said()}" for place, one in enumerate(sets, 1))
        caption = f"mean over severities · clean: the same images · sets that cannot be compared: {' · '.join(each)}"
    else:
        count = len(first.corruptions)
        caption = f"{count} corruptions, {first.source}, mean over severities · clean: the same {first.n:,} images"
    own = [one for one in summaries if one.mce_pct is not None and not one.mce_published]
    if own:
        counts = " or ".join(map(str, sorted({len(one.mce_over) for one in own})))
        made = {"made here" if one.source == GENERATED else "of a part of ImageNet-C" for one in own}
        caption += f" · mCE over {counts} corruptions {' or '.join(sorted(made))}: not to stand beside published ones"
    return caption


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(round(value, 6) + 0.0, form)  # no minus zero
