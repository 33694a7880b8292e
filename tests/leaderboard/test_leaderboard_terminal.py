"""What is printed, drawn and written of names that somebody chose: text, whole, on any terminal."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from consistent_bench import make_bench
from dynvit.cli import main
from dynvit.figures import drawable, write_rows
from dynvit.leaderboard.comparing import comparison_table, find, read_answered
from dynvit.measurements.robustness.table import attack_table
from dynvit.measurements.speed.table import curve_table
from dynvit.plain import no_formula, spelled, visible
from dynvit.report import print_board, read_board, read_run, write_pictures
from dynvit.terminal import Table, new_console, print_table

ROOT = Path(__file__).parents[2]
NAMES = {
    "markup that closes nothing": "[/]{}",
    "markup": "[red]{}[/red]",
    "a link": "[link=http://x]{}",
    "an emoji's name": ":smile:{}",
    "escapes": "\x1b]0;pwned\x07\x1b[31m{}",
    "C1 controls": "\x9b31m{}",
    "a line of its own": "a\r\n{}",
    "turned around": "\u202e{}\u2066",
    "of no width": "\u200b{}\ufeff",
    "mathtext": r"$\frac{{{}$ $x_1$",
    "a formula": "=cmd|'/c calc'!{}",
    "XML": "<&]]>--{}",
    "hidden from legends": "_{}",
    "of another script": "方法{}",
}
NAMES["all that is odd"] = (
    "_" + "".join(name.replace("{}", "") for name in NAMES.values() if "frac" not in name) + "${}$"
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]) -> Path:
    return make_bench(tmp_path_factory.mktemp("bench"), measure)


@pytest.fixture
def named(done: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A board whose names are all made by a pattern."""
    board, called = json.loads((done / "leaderboard.json").read_text()), NAMES[request.param].format
    board["setting"] |= {"dataset": called("data"), "backbone": called("back")}
    for entry in (*board["entries"], *board["methods"]):
        for key in ("method", "name"):
            if entry.get(key) == "topk":
                entry[key] = called("meth")
        if entry.get("knobs"):
            entry["knobs"] = {called("knob"): value for value in entry["knobs"].values()}
    board["entries"][0]["skipped"] = {called("steps"): called("why")}
    (tmp_path / "leaderboard.json").write_text(json.dumps(board))
    return tmp_path


def printed(*tables: Any, width: int = 80, encoding: str = "utf-8") -> str:
    """What tables look like on a terminal of that width."""
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=width, markup=False, highlight=False)
    for table in tables:
        print_table(console, table)
    console.file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("named", NAMES, indirect=True)
def test_names_are_text_wherever_they_stand(named: Path, request: pytest.FixtureRequest) -> None:
    console = new_console(600)  # no name is folded
    with console.capture() as captured:
        print_board(read_board(named / "leaderboard.json"), console)
    said, pattern = captured.get(), NAMES[request.node.callspec.params["named"]]
    for word in ("data", "back", "meth", "knob", "steps", "why"):
        assert visible(pattern.format(word)) in said
    assert not [c for c in said if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")]


@pytest.mark.parametrize("named", ["all that is odd"], indirect=True)
def test_pictures_and_rows_hold_names_as_text(named: Path) -> None:
    with pytest.warns(UserWarning, match="was edited or damaged since"):  # the names were put in by hand
        board = read_board(named / "leaderboard.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no glyph is missing, no name is left out of a legend
        written = write_pictures(board, named)
    assert {"front.svg", "robustness.svg", "corruption.svg", "speed.svg"} <= {file.name for file in written}
    for file in named.glob("*.svg"):
        minidom.parse(str(file))
    for file in named.glob("*.csv"):
        rows = [cell for row in csv.reader(file.open(newline="")) for cell in row]
        assert not [cell for cell in rows if cell.startswith(("=", "@", "\t")) or "\x1b" in cell]


@given(st.text(min_size=1))
def test_what_is_visible_moves_nothing_and_stays_the_same(text: str) -> None:
    seen = visible(text)
    assert not {unicodedata.category(c) for c in seen} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert visible(seen) == seen
    assert not no_formula(text).lstrip(" ").startswith(("=", "+", "-", "@"))
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        spelled(seen, encoding).encode(encoding)
    table = Table(text, text)
    table.add_column(text)
    table.add_row(text)
    assert printed(table, encoding="ascii")


def test_numbers_stay_numbers_in_a_csv(tmp_path: Path) -> None:
    rows = [{"=name": "-x", "share": -0.5, "count": 3}, {"=name": "+1", "share": None, "count": -4}]
    assert write_rows(rows, tmp_path / "rows.csv").read_text() == "'=name,share,count\n'-x,-0.5,3\n'+1,,-4\n"


def test_what_the_font_lacks_is_drawn_as_its_escape() -> None:
    assert drawable("a方\x1b\nε") == "a\\u65b9\\x1b\nε"


def tables(folder: Path) -> dict[str, list[Any]]:
    """Every table that a command prints of a bench."""
    run, board = read_run(folder), read_board(folder / "leaderboard.json")
    console = Printed()
    print_board(board, console)
    record = run.records[-1]
    base = find(str(folder))
    others = [one for one in read_answered(folder) if one.record.record_id != base.record.record_id]
    return {
        "show": console.tables,
        "attack": [attack_table(record, run.results["robustness"][record.record_id])],
        "speed": [curve_table("topk keep_ratio=0.5", run.results["speed"][record.record_id], "32 images")],
        "compare": [comparison_table(base, others)],
    }


class Printed(Console):
    """Keeps the tables that it is to print."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO())
        self.tables: list[Any] = []

    def print(self, *objects: Any, **how: Any) -> None:
        self.tables += [table for table in objects if isinstance(table, Table)]


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", ["show", "attack", "speed", "compare"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_heading_no_name_and_no_number_is_cut(done: Path, command: str, width: int, encoding: str) -> None:
    for table in tables(done)[command]:
        said = printed(table, width=width, encoding=encoding)
        assert "…" not in said
        assert "..." not in said
        words = set(said.replace("|", " ").split())
        for column in table.columns:
            for text in (column.header, *column._cells):
                whole = spelled(text.plain.replace("=", "= "), encoding)
                assert words >= {*spelled(text.plain, encoding).split()} or words >= {*whole.split()}
        if width == 80:
            assert max(map(len, said.splitlines())) <= 80


def test_a_table_too_wide_for_the_terminal_is_as_wide_as_it_is() -> None:
    table = Table("wide")
    for name in ("a_name_of_twenty_four", "another_of_twenty_four"):
        table.add_column(name, no_wrap=True)
    table.add_row("0123456789" * 3, "9876543210" * 3)
    said = printed(table, width=40)
    assert "0123456789" * 3 in said
    assert "9876543210" * 3 in said


def test_show_prints_the_ids_that_compare_takes(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(done)]) == 0
    rows = capsys.readouterr().out.splitlines()[3:10]
    ids = [row.split()[0] for row in rows if row.strip()]
    assert len(ids) == 5
    for name in ids:
        assert main(["compare", f"{done}:{ids[0]}", f"{done}:{name}"]) == 0


def test_a_plugins_table_is_text_too() -> None:
    import rich.table

    table = rich.table.Table("[bold]x[/]", title="[/]")
    table.add_row("[/]\x1b[31m")
    console = new_console(80)
    with console.capture() as said:
        print_table(console, table)
    assert "[/]\\x1b[31m" in said.get()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "arguments", [["show", "DONE"], ["compare", "DONE"], ["ls", "corruptions"], ["show", "no\u2026"]]
)
def test_a_terminal_of_any_encoding_gets_what_it_can_show(
    done: Path, arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    code = main([argument.replace("DONE", str(done)) for argument in arguments])
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
    assert (code, err.count("\n")) == ((2, 1) if "\u2026" in arguments[1] else (0, 0)), err
    assert "\x1b" not in out
    assert out.count("\n") > 3 or code == 2


def test_a_process_on_an_ascii_terminal_ends_well(done: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dynvit", "show", str(done)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "COLUMNS": "80", "LC_ALL": "C"},
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.isascii()


def test_tables_and_lines_are_made_in_one_place() -> None:
    """Whoever prints goes through ``dynvit.terminal`` or ``dynvit.plain``."""
    own = {ROOT / "dynvit" / name for name in ("terminal.py", "plain.py", "progress.py")}
    for file in [*(ROOT / "dynvit").rglob("*.py"), *(ROOT / "methods").rglob("*.py")]:
        if file in own:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                where = f"{file.relative_to(ROOT)}:{node.lineno}: {called}"
                assert called not in ("print", "typer.echo", "Console", "rich.print", "click.echo"), where
                assert not called.endswith((".stdout.write", ".stderr.write")), where
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
                assert node.col_offset > 0, f"{file.relative_to(ROOT)}:{node.lineno}: rich is for types alone here"
