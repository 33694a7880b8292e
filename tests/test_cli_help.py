"""Help answers at once, and the documents' example of a method is one that works."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dynvit.cli import main
from dynvit.interface import Method, methods

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "timm", "optuna", "numpy", "accelerate", "sklearn", "PIL")
# Finds nothing; says what was asked for.
PROBE = f"""
import sys
class Probe:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {HEAVY}:
            raise SystemExit(f'{{name}} was imported')
sys.meta_path.insert(0, Probe())
"""


@pytest.mark.parametrize(
    "command",
    [
        "",
        "bench",
        "plan",
        "train",
        "check",
        "new",
        "explain",
        "attack",
        "show",
        "cite",
        "export",
        "validate",
        "site",
        "data",
        "data pack",
        "ls",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"{PROBE}from dynvit.cli import main; sys.exit(main({[*command.split(), '--help']}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


def test_the_probe_sees_what_it_looks_for() -> None:
    done = subprocess.run([sys.executable, "-c", f"{PROBE}import dynvit.interface"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "was imported" in done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "dynvit", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("bench", "plan", "train", "check", "new", "explain", "attack", "show", "cite", "data", "ls"):
        assert re.search(rf"\b{command}\b", done.stdout)


def blocks(document: str) -> dict[str, str]:
    """The python blocks of a document that register a method, by its name."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    return {name: code for code in found for name in re.findall(r'@register_method\("(\w+)"\)', code)}


@pytest.mark.parametrize("name", blocks("CONTRIBUTING.md") or ["nothing shown"])
def test_the_documented_method_keeps_every_law(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks("CONTRIBUTING.md")[name]
    file = tmp_path / "plugin.py"
    file.write_text(code)
    try:
        assert main(["check", name, "--plugin", str(file)]) == 0, capsys.readouterr().out
    finally:
        methods._registered.pop(name, None)
    assert f"{name}: all laws hold" in capsys.readouterr().out
    assert len(code.splitlines()) <= 60, "a method is added in one screen"


@pytest.mark.parametrize("name", blocks("README.md") or ["nothing shown"])
def test_the_sketch_speaks_of_the_contract_as_it_is(name: str) -> None:
    """The README leaves out a method's own parts; what it shows of the contract is there under that name."""
    body = ast.parse(blocks("README.md")[name]).body
    taken = [node for node in body if isinstance(node, ast.ImportFrom)]
    assert taken
    for node in taken:
        exec(compile(ast.Module([node], []), "README.md", "exec"), {})
    (sketch,) = (node for node in body if isinstance(node, ast.ClassDef))
    for part in sketch.body:
        if isinstance(part, ast.FunctionDef):
            ours = inspect.signature(getattr(Method, part.name))
            named = [one.name for one in ours.parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
            assert [argument.arg for argument in part.args.args] == named
        else:
            assert isinstance(part, ast.Assign)
            assert ast.unparse(part.targets[0]) in Method.__annotations__
