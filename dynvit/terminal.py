"""Tables and lines on the terminal: the one place where they are made, so that no name is taken for markup."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from dynvit.plain import spelled, visible

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult


_APART = 2  # between columns: the padding, and the box's divider
_WORD = 24  # what is longer, such as a path, may be folded anywhere


class Table(RichTable):
    """A table as all of ours look: no frame, title and notes at the left. Its text is text, never markup.

    Names are there to be copied, and no number may lose digits: nothing is cut. What is too long is folded in columns
    that wrap; a table that is wider all the same is as wide as it is.
    """

    def __init__(self, title: str = "", caption: str = "") -> None:
        super().__init__(
            title=_text(title, "table.title") if title else None,
            caption=_text(caption, "table.caption") if caption else None,
            title_justify="left",
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
        )

    def add_column(self, header: Any = "", *rest: Any, overflow: Any = "fold", **how: Any) -> None:
        """As rich's; the heading is text, and nothing is cut."""
        super().add_column(
            _text(header, keep="\n") if isinstance(header, str) else header, *rest, overflow=overflow, **how
        )

    def add_row(self, *cells: Any, **how: Any) -> None:
        """As rich's; cells are text."""
        super().add_row(*(_text(cell) if isinstance(cell, str) else cell for cell in cells), **how)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        encoding = options.encoding
        shown = self if encoding.startswith("utf") else _changed(self, lambda text, _: spelled(text, encoding))
        wanted = _total(_widths(shown, folded=False))
        if wanted > options.max_width:
            shown = _fitted(shown, options.max_width)
            width = max(options.max_width, _total([column.width or 0 for column in shown.columns]))
            options = options.update(width=width, max_width=width)
        yield from RichTable.__rich_console__(shown, console, options)


def new_console(width: int | None = None) -> Console:
    """Standard output, without markup. Of a pipe ``width`` may be more than the 80 columns that are assumed."""
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_line(console: Console, line: str, style: str = "") -> None:
    """A line that is as long as it is."""
    console.print(_text(line, style), soft_wrap=True)


def print_text(console: Console, text: str) -> None:
    """A sentence, wrapped where a terminal ends."""
    console.print(_text(text))


def print_table(console: Console, table: RichTable) -> None:
    """A table, one of a plug-in too: what it holds is text, and no line is cut."""
    console.print(table if isinstance(table, Table) else _changed(table, lambda text, _: visible(text)), crop=False)


def _changed(table: RichTable, change: Callable[[str, bool], str]) -> RichTable:
    """The same table with other text; ``change`` hears whether it is of a column that folds."""

    def made(part: Any, folds: bool = False) -> Any:
        if isinstance(part, Text):
            return Text(change(part.plain, folds), style=part.style)
        return Text(change(part, folds)) if isinstance(part, str) else part

    other = copy.copy(table)
    other.title, other.caption = made(table.title), made(table.caption)
    other.columns = [
        replace(
            column,
            header=made(column.header),
            _cells=[made(cell, not column.no_wrap) for cell in column._cells],
        )
        for column in table.columns
    ]
    return other


def _below_its_name(text: str, folds: bool) -> str:
    """A number that has no room beside its name stands below it, and is not folded itself."""
    return text.replace("=", "= ") if folds else text


def _fitted(table: RichTable, width: int) -> RichTable:
    """Widths for all columns: what does not fold has all that it needs, the others share what is left.

    A cell that has room in its column stays as it is.
    """
    folded = _changed(table, _below_its_name)
    least, natural = _widths(folded, folded=True), _widths(folded, folded=False)
    spare = max(width - _total(least), 0)
    for whole, column, narrow, wide in zip(table.columns, folded.columns, least, natural, strict=True):
        more = min(wide - narrow, spare)
        column.width, spare = narrow + more, spare - more
        column._cells = [
            one if isinstance(one, Text) and cell_len(one.plain) <= column.width else other
            for one, other in zip(whole._cells, column._cells, strict=True)
        ]
    return folded


def _widths(table: RichTable, *, folded: bool) -> list[int]:
    """What each column needs; ``folded``: at least, where it folds between words, and within a path."""
    widths = []
    for column in table.columns:
        texts = [part.plain for part in (column.header, *column._cells) if isinstance(part, Text)]
        folds = folded and not column.no_wrap
        units = [cell_len(unit) for text in texts for unit in (text.split() if folds else text.splitlines())]
        widths.append(max([1, *(min(unit, _WORD) if folds else unit for unit in units)]))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _APART * (len(widths) - 1)


def _text(text: str, style: str = "", keep: str = "") -> Text:
    return Text(visible(text, keep), style=style)
