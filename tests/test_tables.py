"""Tables in the documents are what the command above them prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dynvit.cli import main

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"^<!-- (dynvit show .+) -->\n\n((?:\|.*\n)+)", re.M)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "leaderboards" / "README.md"]
TABLES = [(page, command, table) for page in PAGES for command, table in MARKED.findall(page.read_text("utf-8"))]


def test_every_marked_command_has_its_table() -> None:
    marks = sum(page.read_text("utf-8").count("<!-- dynvit show") for page in PAGES)
    assert marks == len(TABLES) > 0


@pytest.mark.parametrize(
    ("page", "command", "table"), TABLES, ids=[f"{page.name} {command[12:]}" for page, command, _ in TABLES]
)
def test_a_table_is_what_its_command_prints(
    page: Path, command: str, table: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.strip() == table.strip(), f"{page.name}: run the command again"
