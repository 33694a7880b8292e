"""A board's entries as text for papers, spreadsheets and programs: which of them, which columns, in which form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from dynvit.errors import InputError, unknown
from dynvit.latex import latex
from dynvit.leaderboard.axes import entry_axes
from dynvit.leaderboard.board import Entry, Leaderboard, of_first_seed
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.leaderboard.table import digits
from dynvit.leaderboard.tiers import Standing
from dynvit.measurements.base import measurements
from dynvit.plain import no_formula, visible
from dynvit.report.boards import Board
from dynvit.report.printing import tier_column

Form = Literal["md", "latex", "csv", "json"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class View:
    """What is listed of a board.

    ``columns`` are headings, or columns of the board's data frame; empty for all headings. ``where`` are facts of an
    entry that must hold, by name. ``sort`` is a fact, with a minus before it for falling. ``pick`` are shares of dense:
    the dense entry, and of each method the most accurate one at such a share of dense compute or below, so that nobody
    picks rows by hand.
    """

    form: Form = "md"
    columns: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    pick: Sequence[float] = ()


def facts(entry: Entry) -> dict[str, Any]:
    """What of an entry is a number or a word, by name: its own fields, its training's, its options and knobs."""
    found: dict[str, Any] = {}
    for more in (entry.options, entry.knobs, entry.training.model_dump() if entry.training else {}):
        found |= {name: value for name, value in more.items() if isinstance(value, str | int | float) or value is None}
    own = entry.model_dump(mode="json", exclude={"training", "options", "knobs"})
    return found | {name: value for name, value in own.items() if isinstance(value, str | int | float | bool)}


def listed(board: Leaderboard, view: View) -> list[Entry]:
    """The entries of a view, in its order. Raises: ``InputError`` for a fact that no entry has."""
    known = {name for entry in board.entries for name in facts(entry)}
    for name in (*view.where, *([view.sort.removeprefix("-")] if view.sort else ())):
        if name not in known:
            raise unknown("fact of an entry", name, known)
    found = [entry for entry in board.entries if all(_is(facts(entry).get(n), v) for n, v in view.where.items())]
    if view.pick:
        one_seed = of_first_seed(found)
        kept = {entry.record_id for entry in one_seed if entry.baseline}
        kept |= {one.record_id for share in view.pick for one in _best(one_seed, share * board.setting.dense_gmacs)}
        found = [entry for entry in found if entry.record_id in kept]
    if view.sort:
        name = view.sort.removeprefix("-")
        found.sort(key=lambda entry: _order(facts(entry).get(name)), reverse=view.sort.startswith("-"))
    return found


def listing(board: Board, view: View, standings: Mapping[str, Standing] = {}) -> str:
    """The text of a view, without a newline at its end. ``standings`` are of published entries, by record id.

    Raises: ``InputError`` for an unknown column or fact.
    """
    entries = listed(board, view)
    if view.form in ("csv", "json"):
        return _data(board, entries, view)
    cells = _cells(board) | tier_column(standings)
    headings = list(view.columns) or list(cells)
    if any(heading not in cells for heading in headings):
        cells |= _further(board, [heading for heading in headings if heading not in cells], cells)
    rows = [[cells[heading].get(entry.record_id, "") for heading in headings] for entry in entries]
    return _latex(headings, rows) if view.form == "latex" else _markdown(headings, rows)


def _cells(board: Leaderboard) -> dict[str, Mapping[str, str]]:
    """Headings, and a cell for each record id, as people read them."""
    places, names = digits(board.setting.dense_gmacs), point_names(board)
    ids = short_ids(entry.record_id for entry in board.entries)
    entries = {entry.record_id: entry for entry in board.entries}

    def column(form: Any) -> dict[str, str]:
        return {record_id: form(entry) for record_id, entry in entries.items()}

    cells: dict[str, Mapping[str, str]] = {
        "id": ids,
        "method": column(lambda e: e.method),
        "point": names,
        "GMACs": column(lambda e: f"{e.gmacs_mean:.{places}f}"),
        "saved %": column(lambda e: f"{e.saving_pct:.1f}"),
        "top-1 %": column(lambda e: f"{e.top1_pct:.2f} [{e.top1_ci95_low_pct:.1f}, {e.top1_ci95_high_pct:.1f}]"),
        "top-5 %": column(lambda e: "" if e.top5_pct is None else f"{e.top5_pct:.2f}"),
    }
    for kind in measurements.load_all().values():
        cells |= kind.columns(board)
    return cells


def _further(board: Board, names: Sequence[str], known: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Columns of the data frame, four digits of each number. Raises: ``InputError`` for one that it does not have."""
    frame = board.to_dataframe().set_index("record_id", drop=False)
    for name in names:
        if name not in frame.columns:
            raise unknown("column", name, [*known, *frame.columns])
    return {name: {str(key): _short(value) for key, value in frame[name].items()} for name in names}


def _short(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _data(board: Board, entries: Sequence[Entry], view: View) -> str:
    """Every number as it is stored, and what the point is called. A measurement's heading has its cells."""
    if view.form == "json":
        names = point_names(board)
        rows = [entry.model_dump(mode="json") | {"point": names[entry.record_id]} for entry in entries]
        for name in view.columns:
            if any(name not in row for row in rows):
                raise unknown("field of an entry", name, rows[0] if rows else ())
        kept = [{name: row[name] for name in view.columns or row} for row in rows]
        return json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True)
    frame = board.to_dataframe().set_index("record_id", drop=False)
    frame = frame.loc[[entry.record_id for entry in entries]]
    cells = _cells(board) if any(name not in frame.columns for name in view.columns) else {}
    # What a heading of the main table is in the data, of whose numbers it shows a few digits.
    stored = {"id": "record_id"} | {axis.heading: axis.key for axis in entry_axes(board) if axis.column}
    for name in view.columns:
        if name in frame.columns:
            continue
        if name not in cells:
            raise unknown("column", name, [*cells, *frame.columns])
        frame[name] = frame[stored[name]] if name in stored else [cells[name].get(key, "") for key in frame.index]
    frame = frame[list(view.columns) or list(frame.columns)]
    return str(
        frame.map(lambda value: no_formula(value) if isinstance(value, str) else value).to_csv(index=False)
    ).rstrip()


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        escaped = (visible(one).replace("|", r"\|") for one in cells)
        return f"| {' | '.join(escaped)} |"

    return "\n".join([line(headings), "|" + "---|" * len(headings), *map(line, rows)])


def _latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex, cells)) + r" \\"

    left = sum(heading in ("id", "method", "point") for heading in headings)
    form = "l" * left + "r" * (len(headings) - left)
    body = [line(headings), r"\midrule", *map(line, rows)]
    return "\n".join([rf"\begin{{tabular}}{{{form}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"])


def _best(entries: Sequence[Entry], most: float) -> list[Entry]:
    """Of each method the most accurate entry that costs no more. Units: ``most`` GMACs."""
    best: dict[str, Entry] = {}
    for entry in entries:
        if entry.gmacs_mean <= most and (entry.method not in best or entry.top1_pct > best[entry.method].top1_pct):
            best[entry.method] = entry
    return list(best.values())


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool) or value is None:
        return wanted.casefold() == {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(wanted))
        except ValueError:
            return False
    return str(value) == wanted


def _order(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, int | float):
        return True, float(value), ""
    return False, 0.0, "" if value is None else str(value)


def view_of(form: str, columns: str, where: Sequence[str], sort: str, pick: str) -> View | None:
    """The view that the words of a command line ask for; None for the board's own tables.

    Raises: ``InputError`` for an unknown form, and for what is no condition or no share.
    """
    if form not in ("table", *FORMS):
        raise unknown("format", form, ("table", *FORMS))
    asked = columns or where or sort or pick
    if form == "table":
        if asked:
            raise InputError("--columns, --where, --sort and --pick list entries: give --format md, latex, csv or json")
        return None
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    return View(
        cast("Form", form), names, _conditions(where), sort, tuple(map(_share, pick.split(","))) if pick else ()
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise InputError(f"--pick must be shares of dense compute, above 0 to 1, got {text!r}")
    return share


def _conditions(texts: Sequence[str]) -> dict[str, str]:
    """``method=mia,division=fine-tuned`` by name."""
    found: dict[str, str] = {}
    for text in (one for many in texts for one in many.split(",")):
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--where must be NAME=VALUE, several joined by commas, got {text!r}")
        name, value = name.strip(), value.strip()
        if found.setdefault(name, value) != value:
            raise InputError(
                f"--where {name} is given twice, as {found[name]!r} and as {value!r}: an entry has one; give one"
            )
    return found
