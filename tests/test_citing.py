"""What is to be cited: BibTeX that parses, and the same papers wherever they are named."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from dynvit.api.citing import cite, papers_of_methods
from dynvit.citation import Citation, bibtex
from dynvit.cli import main
from dynvit.interface import Method, methods
from dynvit.latex import latex
from dynvit.leaderboard.papers import read_papers
from dynvit.report import read_board
from dynvit.report.citing import citations

ROOT = Path(__file__).parents[1]
BOARD = ROOT / "tests" / "boards" / "cifar10.json"
KINDS = {name: kind for name, kind in methods.load_all().items() if kind.paper is not None}


def parsed(text: str) -> dict[str, dict[str, str]]:
    """The entries of a BibTeX file by key, as BibTeX reads them: what is not within an entry is a comment."""
    entries: dict[str, dict[str, str]] = {}
    at = text.find("@")
    while at >= 0:
        head = re.compile(r"@(\w+)\{([^\s,{}]+),").match(text, at)
        assert head, text[at : at + 80]
        assert head[2] not in entries, f"{head[2]} twice"
        fields, place = {"kind": head[1]}, head.end()
        while not (end := re.compile(r"\s*\}").match(text, place)):
            name = re.compile(r"\s*(\w+) = \{").match(text, place)
            assert name, text[place : place + 80]
            depth, place = 1, name.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(text[place], 0)
                place += 2 if text[place] == "\\" else 1
            fields[name[1]] = text[name.end() : place - 1]
            place = re.compile(",?").match(text, place).end()  # type: ignore[union-attr]
        entries[head[2]] = fields
        at = text.find("@", end.end())
    return entries


def test_a_board_is_cited_with_the_papers_of_its_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite", str(BOARD)]) == 0
    said = capsys.readouterr().out
    entries = parsed(said)
    board = read_board(BOARD)
    named = {entry.method for entry in board.entries}
    assert {key for key in entries if not key.startswith("dynvit")} >= {"wang2021dvt", "rao2021dynamicvit", "yu2022mia"}
    assert len(entries) == 2 + len(named & KINDS.keys())
    assert set(re.findall(r"^% (\w+): declares no paper$", said, re.M)) == named - KINDS.keys()
    assert entries["yu2022mia"]["author"].startswith("Yu, Zhongzhi and Fu, Yonggan")


def test_boards_are_cited_once_and_unknown_methods_named() -> None:
    board = read_board(BOARD)
    known = papers_of_methods()
    once, twice = citations([board], known), citations([board, board], known)
    assert once == twice
    del known["dvt"]
    assert "% dvt: not installed here, so its paper is not known" in citations([board], known)
    assert "wang2021dvt" not in citations([board], known)
    boards = [ROOT / "leaderboards", BOARD]
    assert set(parsed(cite(boards))) > set(parsed(once))


@pytest.mark.parametrize("name", KINDS)
def test_every_declared_paper_says_who_what_where_and_when(name: str) -> None:
    kind = KINDS[name]
    assert kind.paper is not None
    [found] = parsed(papers_of_methods()[name]).values()
    assert found["kind"] == "inproceedings"
    assert {"title", "author", "booktitle", "year", "eprint"} <= found.keys()
    assert all(re.fullmatch(r"[^,]+, [^,]+", author) for author in kind.paper.authors)
    assert re.fullmatch(r"\d{4}\.\d{4,5}", kind.paper.arxiv)
    assert found["year"] == str(kind.year)


def test_methods_and_tables_of_papers_name_the_same_papers() -> None:
    declared = {kind.paper.arxiv: kind for kind in KINDS.values() if kind.paper}
    shared = [paper for paper in read_papers(ROOT / "leaderboards" / "papers") if paper.arxiv in declared]
    assert len(shared) >= 11
    for paper in shared:
        kind = declared[str(paper.arxiv)]
        assert kind.paper is not None
        assert kind.paper.title == paper.title
        assert f"{kind.venue} {kind.year}" == paper.venue


def test_the_citation_file_names_the_papers_of_all_methods() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    found = {
        (
            one["title"],
            tuple(f"{author['family-names']}, {author['given-names']}" for author in one["authors"]),
            one["conference"]["name"],
            one["year"],
            one["url"],
        )
        for one in said["references"]
    }
    declared = {
        (kind.paper.title, kind.paper.authors, f"{kind.venue} {kind.year}", kind.year, kind.paper.url)
        for kind in KINDS.values()
        if kind.paper
    }
    assert found == declared
    assert len(said["references"]) == len(found)


def test_who_declares_a_venue_declares_the_paper() -> None:
    assert [name for name, kind in methods.load_all().items() if kind.venue and kind.paper is None] == []
    assert Method.paper is None


TEXT = some.text(max_size=40)


@given(TEXT.filter(str.strip), some.lists(TEXT, max_size=3), TEXT, TEXT, some.none() | some.integers(1, 9999))
def test_whatever_a_plug_in_declares_parses(title: str, authors: list[str], name: str, venue: str, year) -> None:
    text = bibtex(Citation(title, tuple(authors), doi=name), name=name, venue=venue, year=year)
    [(key, found)] = parsed(text).items()
    assert re.fullmatch("[a-z0-9-]+", key)
    assert found["title"] == f"{{{latex(title)}}}"


@given(TEXT)
def test_latex_has_no_character_of_its_own_left(text: str) -> None:
    said = latex(text)
    rest = re.sub(r"\\[A-Za-z]+|\\[^A-Za-z]|[{}]|\$[^$]*\$", "", said)
    assert not set(rest.replace("~", "")) & set("&%$#_^|<>\\")
    assert re.sub(r"\\.", "", said).count("{") == re.sub(r"\\.", "", said).count("}")
    assert not [c for c in said if unicodedata.category(c) in ("Cc", "Cs")]


def test_a_name_that_begins_an_entry_is_no_entry() -> None:
    board = read_board(BOARD)
    odd = board.entries[0].model_copy(update={"method": "@misc{x,\n"})
    assert "@misc{x" not in citations([board.model_copy(update={"entries": (odd,)})], {})
