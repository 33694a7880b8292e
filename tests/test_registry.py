"""Names to things: what there is, where it came from, and what is said when it is not there or does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynvit.errors import InputError
from dynvit.interface import methods
from dynvit.registry import Origin, Registry, load_plugin

GROUP = "example.colours"


def install(site: Path, distribution: str, version: str, modules: dict[str, str], **points: str) -> None:
    """An installed distribution as importlib sees one: modules, and a dist-info with its entry points."""
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, to install into."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


@pytest.fixture
def colours() -> Registry[int]:
    return Registry("colour", GROUP)


def refusal(registry: Registry[int], name: str) -> str:
    with pytest.raises(InputError) as caught:
        registry.get(name)
    return str(caught.value)


def test_a_package_brings_things_by_its_entry_points(site: Path, colours: Registry[int]) -> None:
    install(site, "dynvit-paint", "1.2", {"paint_a": "red = 0xFF0000"}, red="paint_a:red")
    assert colours.names() == ["red"]
    assert "paint_a" not in sys.modules, "names are told without importing"
    assert colours.get("red") == 0xFF0000
    assert str(colours.origins("red")[0]) == "dynvit-paint 1.2 (paint_a:red)"


def test_an_unknown_name_gets_the_nearest_and_the_list(colours: Registry[int]) -> None:
    colours.register("crimson")(1)
    colours.register("teal")(2)
    assert refusal(colours, "crimsn") == "unknown colour 'crimsn': did you mean 'crimson'? Known: crimson, teal"
    assert refusal(colours, "xyzzy") == "unknown colour 'xyzzy': Known: crimson, teal"
    assert colours.origins("xyzzy") == []


def test_a_name_taken_twice_names_both_and_leaves_the_others(site: Path, colours: Registry[int]) -> None:
    install(site, "first-paint", "1.0", {"paint_b": "red = 1\nblue = 2"}, red="paint_b:red", blue="paint_b:blue")
    install(site, "other-paint", "2.0", {"paint_c": "red = 3"}, red="paint_c:red")
    said = refusal(colours, "red")
    assert "registered twice" in said
    assert "first-paint 1.0 (paint_b:red)" in said
    assert "other-paint 2.0 (paint_c:red)" in said
    assert colours.get("blue") == 2
    with pytest.warns(UserWarning, match="registered twice"):
        assert colours.load_all() == {"blue": 2}


@pytest.mark.parametrize("module", ["paint_d", "paint_front"], ids=["its own name", "a name in front"])
def test_what_a_package_both_decorates_and_names_is_one_thing(site: Path, module: str) -> None:
    text = "from dynvit.interface import methods\n\nclass Red: pass\n\nmethods.register('red-once')(Red)"
    install(site, "one-paint", "1.0", {"paint_d": text, "paint_front": "from paint_d import Red"})
    (site / "one_paint-1.0.dist-info" / "entry_points.txt").write_text(f"[dynvit.methods]\nred-once = {module}:Red\n")
    try:
        for _ in range(2):  # before and after the import that decorates
            assert methods.get("red-once").__name__ == "Red"
            assert methods.origins("red-once")[0] == Origin(f"{module}:Red", "one-paint", "1.0")
    finally:
        methods._registered.pop("red-once", None)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import nowhere_to_be_found", "paint_e.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('out of paint')", "paint_e.py:1: RuntimeError: out of paint"),
        ("green = 1", "AttributeError"),
        ("def (", "paint_e.py:1: SyntaxError"),
        ("raise SystemExit(3)", "paint_e.py:1: it ended the program by sys.exit(3)"),
    ],
    ids=["missing import", "raises", "lacks the name", "syntax", "exits"],
)
def test_a_broken_package_is_named_and_stops_nobody_else(
    site: Path, colours: Registry[int], module: str, reason: str
) -> None:
    install(site, "broken-paint", "0.9", {"paint_e": module}, red="paint_e:red")
    colours.register("teal")(2)
    with pytest.warns(UserWarning, match="does not import") as warned:
        assert colours.load_all() == {"teal": 2}
    (warning,) = warned
    assert "colour 'red' from broken-paint 0.9 (paint_e:red) does not import: " in str(warning.message)
    assert reason in str(warning.message)
    assert "broken-paint 0.9" in refusal(colours, "red")


def test_plugins_can_be_left_out(site: Path, colours: Registry[int], monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "some-paint", "1.0", {"paint_f": "red = 1"}, red="paint_f:red")
    ours = methods.names()
    assert colours.names() == ["red"]
    monkeypatch.setenv("DYNVIT_DISABLE_PLUGINS", "1")
    assert colours.names() == []
    kept = {name for name in ours if methods.origins(name)}
    assert {"dense", "random", "topk", "dynamicvit"} <= kept


def test_a_plugin_file_registers_and_loading_it_again_replaces_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for number in (1, 2):
        file.write_text(
            "from dynvit.interface import methods\n\n"
            f"@methods.register('of-a-file')\nclass Mine:\n    number = {number}\n"
        )
        load_plugin(file)
        try:
            assert methods.get("of-a-file").number == number  # type: ignore[attr-defined]
            assert [origin.distribution for origin in methods.origins("of-a-file")] == [str(file)]
        finally:
            if number == 2:
                methods._registered.pop("of-a-file")


def test_two_plugin_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    text = "from dynvit.interface import methods\n\n@methods.register('of-two')\nclass Mine: pass\n"
    files = [tmp_path / folder / "method.py" for folder in ("one", "other")]
    try:
        for file in files:
            file.parent.mkdir()
            file.write_text(text)
            load_plugin(file)
        with pytest.raises(InputError, match="registered twice") as caught:
            methods.get("of-two")
        assert all(str(file) in str(caught.value) for file in files)
    finally:
        methods._registered.pop("of-two")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("missing.py", None, "no plug-in file"),
        ("notes.txt", "x = 1", "not a Python file"),
        ("broken.py", "import nowhere_to_be_found", "broken.py:1: ModuleNotFoundError"),
        ("syntax.py", "def (", "syntax.py:1: SyntaxError"),
        ("exits.py", "raise SystemExit(3)", "exits.py:1: it ended the program by sys.exit(3)"),
    ],
)
def test_a_plugin_file_that_is_none_is_refused_by_name(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    before = set(sys.modules)
    with pytest.raises(InputError) as caught:
        load_plugin(tmp_path / name)
    assert said in str(caught.value)
    assert name in str(caught.value)
    assert not {module for module in set(sys.modules) - before if module.startswith("dynvit_plugin_")}


def test_names_load_nothing_heavy() -> None:
    code = (
        "import sys; from dynvit.registry import Registry; names = Registry('method', 'dynvit.methods').names(); "
        "assert 'dense' in names, names; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'timm', 'optuna', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
