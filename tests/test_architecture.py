"""The architecture: who may import whom, how long files and functions may be, what every module says of itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, METHODS = ROOT / "dynvit", ROOT / "methods"
MODULES = sorted([*CORE.rglob("*.py"), *METHODS.rglob("*.py")])

# Packages and modules from the top down; each imports only what lies below it, or itself.
LAYERS = (
    {"__main__", "__init__"},
    {"cli"},
    {"api"},
    {"benchmark"},
    {"training", "testing", "explain", "authoring", "site"},
    {"report"},
    {"measurements"},
    {"session"},
    {"solving", "study_storage"},
    {"checkpoint", "published", "budgets", "search", "attacks"},
    {"calibration"},
    {"backbones", "data", "leaderboard", "knobs", "exits", "divisions"},
    {"cost", "ops", "recipes", "finite", "contract"},
    {"schedules"},
    {"interface"},
    {"request", "downloads", "wording", "launchers"},
    {
        "point",
        "citation",
        "recipe",
        "registry",
        "options",
        "progress",
        "processes",
        "halving",
        "environment",
        "settings",
        "figures",
        "terminal",
        "cache",
    },
    {"files", "reading", "plugin_faults", "latex"},
    {"errors", "version", "units", "plain", "explanations"},
)
HEIGHT = {package: -depth for depth, layer in enumerate(LAYERS) for package in layer}
# What a method is made of. The trainer, the bench and the command line know methods, never the other way round.
BELOW_METHODS = HEIGHT["backbones"]


def name_of(file: Path) -> str:
    """The name that the file is imported by."""
    if file.is_relative_to(METHODS):
        relative = Path("dynvit_methods") / file.relative_to(METHODS)
    else:
        relative = file.relative_to(ROOT)
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> Iterator[str]:
    """Every module that the file imports at any depth, ``from a import b`` as ``a.b``: b may be a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name_of(file) if file.name == "__init__.py" else name_of(file).rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    """The package or module under the top level: the second part of a dotted name where that is one."""
    package, first = [*module.split("."), ""][:2]
    folder = METHODS if package == "dynvit_methods" else CORE
    there = first and ((folder / first).is_dir() or (folder / f"{first}.py").is_file())
    return first if there else "__init__"


def test_every_package_has_its_layer() -> None:
    there = {package_of(name_of(file)) for file in CORE.rglob("*.py")}
    assert there <= HEIGHT.keys(), f"give these a layer: {sorted(there - HEIGHT.keys())}"


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=name_of)
def test_imports_go_down_in_the_core(file: Path) -> None:
    here = package_of(name_of(file))
    for module in imports(file):
        assert module.partition(".")[0] not in ("dynvit_methods", "methods"), f"the core names a method: {module}"
        if module.partition(".")[0] == "dynvit" and package_of(module) != here:
            assert HEIGHT[package_of(module)] < HEIGHT[here], f"{here} imports {module}, which is not below it"


@pytest.mark.parametrize("file", sorted(METHODS.rglob("*.py")), ids=name_of)
def test_a_method_imports_no_other_and_only_what_methods_are_made_of(file: Path) -> None:
    here = package_of(name_of(file))
    for module in imports(file):
        package = module.partition(".")[0]
        if package == "dynvit_methods":
            assert package_of(module) == here, f"method {here} imports {module}"
        elif package == "dynvit":
            assert HEIGHT[package_of(module)] <= BELOW_METHODS, f"method {here} imports {module}"


def test_tensor_functions_know_no_model() -> None:
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "itertools",
        "math",
        "typing",
        "torch",
        "dynvit",
    }
    for file in (CORE / "ops").rglob("*.py"):
        for module in imports(file):
            assert module.partition(".")[0] in allowed, f"{name_of(file)} imports {module}"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_file_holds_one_idea_and_says_which(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "a module begins with what it is"
    assert not re.search(r"\.cuda\(", text), "a device is given, never assumed"


def test_every_package_is_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name_of(file) for file in MODULES if file.name == "__init__.py"}
    assert packages == set(settings["packages"])


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_file_imports_at_most_fifteen_of_our_modules(file: Path) -> None:
    ours = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("dynvit")):
            ours.add((node.level, node.module))
    assert len(ours) <= 15, sorted(str(module) for _, module in ours)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_function_fits_a_screen(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{node.name} is too long"


def test_a_board_is_read_without_torch() -> None:
    code = (
        "import sys; from dynvit.report import read_board, print_board; from rich.console import Console; "
        f"print_board(read_board({str(ROOT / 'leaderboards' / 'cifar10.json')!r}), Console()); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_session_reads_what_a_checkpoint_says_of_itself() -> None:
    readers = {name_of(file) for file in CORE.rglob("*.py") if "read_config" in file.read_text(encoding="utf-8")}
    assert {name.split(".")[1] for name in readers} == {"checkpoint", "session"}
