"""``dynvit new``: what it writes works as it is, and nothing else is ever written, hidden or run."""

from __future__ import annotations

import ast
import keyword
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_helpers import train

from dynvit.authoring.write import LONGEST, TEMPLATES, check_name, text_of, write_method
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.interface import methods
from dynvit.registry import load_plugin
from dynvit.testing import Subject
from dynvit.testing.laws import claimed_macs_are_executed, neutral_point_equals_backbone

NAME = "edges_2"
LONG = "a" * LONGEST


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; what a file in it registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = dict(methods._registered)
    yield tmp_path
    methods._registered = before
    for module in [name for name in sys.modules if name.startswith("dynvit_plugin_")]:
        del sys.modules[module]


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAME, LONG])
def test_what_is_written_keeps_every_law(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", name]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{name}.py", f"test_{name}.py"])
    said = capsys.readouterr().out
    for command in (
        f"dynvit check {name} --plugin {name}.py",
        f"pytest test_{name}.py",
        f"--methods dense,topk,{name}",
    ):
        assert command in said
    load_plugin(folder / f"{name}.py")
    if name == NAME:
        subject = Subject.of(name, batch=2)
        neutral_point_equals_backbone(subject)  # the slow test tries all
        claimed_macs_are_executed(subject)


def test_what_is_written_is_short_typed_and_fits_a_line() -> None:
    for template in TEMPLATES.values():
        text = text_of(template, LONG)
        assert "METHOD" not in text
        assert max(map(len, text.splitlines())) <= 120
        assert len(text.splitlines()) <= 90
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None, node.name
                assert all(argument.annotation for argument in node.args.args if argument.arg not in ("self", "law"))


def taken(word: str) -> bool:
    return keyword.iskeyword(word) or keyword.issoftkeyword(word) or word == "test" or word.startswith("test_")


@given(
    st.text(max_size=12)
    | st.sampled_from(['a"b', "a\nb", "a#b", "a'''", "../a", "a.b", "é", "a b", "A", "_a", "1a", ""])
)
def test_a_name_that_could_be_more_than_a_word_is_refused(name: str) -> None:
    word = name.isascii() and name.isidentifier() and name == name.lower() and not name.startswith("_")
    with nullcontext() if word and not taken(name) else pytest.raises(InputError):
        check_name(name)
        for template in TEMPLATES.values():
            ast.parse(text_of(template, name))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("class", "Python's own"),
        ("match", "Python's own"),
        ("a" * (LONGEST + 1), f"1 to {LONGEST}"),
        ("topk", "method 'topk' is there already, from dynvit"),
        ("random", "method 'random' is there already"),
        ("thinkingvit", "is there already"),
        ("torch", "hide the installed Python module torch"),
        ("os", "hide the installed Python module os"),
        ("dynvit", "hide the installed Python module dynvit"),
        ("conftest", "pytest's"),
        ("test_mine", "pytest's"),
    ],
)
def test_a_name_that_is_taken_is_refused_and_nothing_is_written(name: str, says: str, folder: Path) -> None:
    with pytest.raises(InputError, match=says):
        write_method(name, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("there", [f"{NAME}.py", f"test_{NAME}.py"])
@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
def test_nothing_is_overwritten(there: str, kind: str, folder: Path) -> None:
    path = folder / there
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder / "nowhere")
    with pytest.raises(InputError, match=f"{there} is there already"):
        write_method(NAME, folder)
    assert [each.name for each in folder.iterdir()] == [there]
    assert kind != "file" or path.read_text() == "mine"


def test_half_of_it_is_not_left_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(template: str, name: str) -> str:
        if template.startswith("test"):
            raise OSError(28, "No space left on device")
        return text_of(template, name)

    monkeypatch.setattr("dynvit.authoring.write.text_of", full)
    with pytest.raises(OSError, match="No space"):
        write_method(NAME, folder)
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_from_nothing_to_a_bench(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", NAME]) == 0
    assert main(["check", NAME, "--plugin", f"{NAME}.py"]) == 0, capsys.readouterr().out
    assert pytest.main(["-q", "-p", "no:cacheprovider", f"test_{NAME}.py"]) == 0
    weights = train(folder / "dense", "dense")
    small = ("--dataset", "digits", "--points", "2", "--limit", "40", "--weights", str(weights), "-o", "out")
    assert main(["bench", "--plugin", f"{NAME}.py", "--methods", f"dense,{NAME}", *small]) == 0
    assert f"{NAME}" in (folder / "out" / "leaderboard.json").read_text()
