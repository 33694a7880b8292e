"""Options from words and from JSON, by a dataclass's annotations."""

from __future__ import annotations

import json
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynvit.errors import InputError
from dynvit.options import options_from_json, options_to_json, parse_options


@dataclass(frozen=True)
class Options:
    keep: float = 0.7
    layers: tuple[int, ...] = (3, 6, 9)
    pair: tuple[int, str] = (1, "a")
    kind: Literal["hard", "soft"] = "hard"
    teacher: bool = True
    depth: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise InputError(f"keep {self.keep} is out of (0, 1]")


some = st.builds(
    Options,
    keep=st.floats(0.001, 1),
    layers=st.lists(st.integers()).map(tuple),
    pair=st.tuples(st.integers(), st.text("abc", min_size=1)),
    kind=st.sampled_from(["hard", "soft"]),
    teacher=st.booleans(),
    depth=st.none() | st.integers(),
    note=st.text("xyz =", max_size=5).map(str.strip),
)


@given(some)
def test_json_and_words_give_back_what_was_there(options: Options) -> None:
    assert options_from_json(Options, json.loads(json.dumps(options_to_json(options)))) == options
    words = [
        f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in vars(options).items()
    ]
    assert parse_options(Options, words) == options


def test_words_change_only_what_they_name() -> None:
    base = Options(keep=0.5, teacher=False)
    assert parse_options(Options, ["layers=(1, 2)", "kind=soft"], base) == Options(
        0.5, (1, 2), kind="soft", teacher=False
    )
    assert parse_options(Options, ["keep=0.9", "keep=0.90"]).keep == 0.9
    with pytest.raises(InputError, match="'keep' is given twice"):
        parse_options(Options, ["keep=0.9", "keep=0.8"])
    assert options_from_json(Options, {"keep": 1}) == Options(keep=1.0)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("kep=1", "unknown option 'kep': did you mean 'keep'"),
        ("keep", "is not name=value"),
        ("keep=much", "option keep=much is not a number"),
        ("keep=7", "out of"),
        ("depth=1.5", "option depth=1.5 is not int | None"),
        ("teacher=maybe", "is not true or false"),
        ("kind=medium", "one of hard, soft is allowed"),
        ("layers=1,x", "option layers=x is not a whole number"),
        ("layers=1,1.5", "option layers=1.5 is not a whole number"),
        ("pair=1", "2 values are wanted, 1 are given"),
    ],
)
def test_wrong_words_are_said_in_one_line(word: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_options(Options, [word])
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"keep": "0.5"}, "option keep=0.5 is not a number"),
        ({"layers": [1, "2"]}, "option layers=[1, '2'] is not tuple[int, ...]"),
        ({"pair": [1]}, "option pair=[1] is not tuple[int, str]"),
        ({"kind": "medium"}, "option kind=medium: one of hard, soft is allowed"),
        ({"depth": True}, "option depth=True is not int | None"),
        ({"teacher": 1}, "option teacher=1 is not true or false"),
        ({"kid": 0}, "unknown option 'kid': did you mean 'kind'"),
    ],
)
def test_wrong_json_is_refused(body: dict[str, object], line: str) -> None:
    with pytest.raises(InputError) as caught:
        options_from_json(Options, body)
    assert line in str(caught.value)


def test_what_text_cannot_say_is_set_in_python_only() -> None:
    class Anything:
        pass

    made = make_dataclass("Made", [("thing", Anything | None, None), ("place", Path, Path())], frozen=True)
    with pytest.raises(InputError, match="option thing"):
        parse_options(made, ["thing=1"])
    assert parse_options(made, ["place=here", "thing=none"]) == made(None, Path("here"))
