"""What the documents show runs, what they link to exists, and they use the words of the glossary."""

from __future__ import annotations

import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_helpers import train

from dynvit.attacks import attacks
from dynvit.backbones.adapter import adapters
from dynvit.cli import main
from dynvit.cost import macs, rules
from dynvit.data.corruptions import CORRUPTIONS, corruptions, select
from dynvit.data.datasets import datasets
from dynvit.interface import Usage, methods
from dynvit.measurements.base import measurements
from dynvit.registry import file_version

ROOT = Path(__file__).parents[1]
REGISTRIES = (attacks, adapters, corruptions, datasets, measurements, methods, rules)
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))])
PAGES.append(ROOT / "leaderboards" / "README.md")
# Words of our own for what the field has a name for.
NOT_OURS = re.compile(
    r"\b(arms?|rungs?|ladders?|tak(en|es?|ing) back|of promise|promise[sd]?|the clock finds|on the clock|dear(er|est)?|"
    r"quiet rounds?|contenders?|(take|in) turns|assaults?|victims?|climb(s|ed|ing)?|attachments?|ready sets?|"
    r"fold(s|ed)?|rooms?|walls?|house|stopwatch(es)?)\b",
    re.IGNORECASE,
)


def blocks(page: str) -> list[str]:
    """The python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


EXAMPLES = {
    name: code for code in blocks("docs/extending.md") for name in re.findall(r"^# (\w+)\.py: ", code, re.MULTILINE)
}


@pytest.fixture
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An example as a file; what it registers is forgotten afterwards."""
    file = tmp_path / f"{request.param}.py"
    file.write_text(EXAMPLES[request.param])
    before = [dict(registry._registered) for registry in REGISTRIES]
    yield str(file)
    for registry, known in zip(REGISTRIES, before, strict=True):
        registry._registered = known
    for module in [name for name in sys.modules if name.startswith("dynvit_plugin_")]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("dense") / "dense", "dense")


def example(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("plugin", [name], indirect=True)


def bench(plugin: str, folder: Path, *arguments: str) -> int:
    small = ("--limit", "40", "--points", "2", "--plugin", plugin, "-o", str(folder))
    return main(["bench", "--dataset", "digits", *small, *arguments])


def test_every_example_is_tested() -> None:
    assert EXAMPLES.keys() == {"norms", "ece", "noise", "posterize", "softmax_rule", "stripes", "mixer"}
    for name, code in EXAMPLES.items():
        compile(code, name, "exec")
        assert max(map(len, code.splitlines())) <= 120
        assert len(code.splitlines()) <= 75, f"{name} is not on one screen"


@example("norms")
def test_a_method(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "norms", "--plugin", plugin]) == 0, capsys.readouterr().out
    assert "norms: all laws hold" in capsys.readouterr().out


@pytest.mark.slow
@example("ece")
def test_a_measurement(plugin: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--methods", "dense,topk", "--weights", str(weights), "--ece", "--ece-bins", "10")
    assert bench(plugin, tmp_path / "out", *given) == 0
    assert "ECE %" in capsys.readouterr().out
    lines = (tmp_path / "out" / "ece.jsonl").read_text().splitlines()
    entries = json.loads((tmp_path / "out" / "leaderboard.json").read_text())["entries"]
    assert len(lines) == len(entries)
    assert all(0 <= entry["measurements"]["ece"]["ece_pct"] <= 100 for entry in entries)
    assert bench(plugin, tmp_path / "out", *given) == 0  # nothing is measured again
    assert (tmp_path / "out" / "ece.jsonl").read_text().splitlines() == lines


@pytest.mark.slow
@example("noise")
def test_an_attack(plugin: str, weights: Path, tmp_path: Path) -> None:
    given = ("--method", "dense", "--weights", str(weights), "--limit", "20", "--eps", "0.1", "--no-masking-checks")
    options = ("--attack-option", "noise.tries=3", "--plugin", plugin, "-o", str(tmp_path / "out"))
    assert main(["attack", "noise", "--dataset", "digits", *given, *options]) == 0
    [line] = map(json.loads, (tmp_path / "out" / "robustness.jsonl").read_text().splitlines())
    assert (line["result"]["attack"], line["result"]["settings"]) == ("noise", {"tries": 3, "seed": 0})


@pytest.mark.slow
@example("posterize")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_corruption(plugin: str, workers: int, weights: Path, tmp_path: Path) -> None:
    asked = ("--corruptions", "posterize,fog", "--severities", "1,5")
    given = ("--methods", "dense", "--weights", str(weights), *asked)
    assert bench(plugin, tmp_path / "out", *given, "--corruptions-limit", "10", "-j", str(workers)) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "corruption.jsonl").read_text().splitlines()]
    versions = {line["result"]["corruption"]: line["config"].get("plugin") for line in lines}
    assert versions == {"fog": None, "posterize": file_version(plugin)}, "an edited plug-in is another"
    [entry] = json.loads((tmp_path / "out" / "leaderboard.json").read_text())["entries"]
    assert {row["name"] for row in entry["measurements"]["corruption"]["corruptions"]} == set(versions)
    assert select(["all"]) == tuple(CORRUPTIONS)


@pytest.mark.slow
@example("softmax_rule")
def test_a_counting_rule(plugin: str, weights: Path, tmp_path: Path) -> None:
    given = ("--methods", "dense,topk", "--weights", str(weights), "--rule", "with-softmax")
    assert bench(plugin, tmp_path / "out", *given) == 0
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    model = methods.get("dense")().attach(*_vit_digits())
    usage = Usage(1, tuple(model.adapter.parts()))
    softmax = 6 * 5 * 3 * 17 * 17  # blocks, operations, heads, tokens
    assert int(macs(usage, "with-softmax") - macs(usage)) == softmax
    assert board["setting"]["dense_gmacs"] * 1e9 == pytest.approx(int(macs(usage)) + softmax)


@pytest.mark.slow
@example("stripes")
def test_a_data_set(plugin: str, tmp_path: Path) -> None:
    small = ("--epochs", "1", "-b", "32", "-o", str(tmp_path / "dense"))
    assert main(["train", "--method", "dense", "--dataset", "stripes", "--plugin", plugin, *small]) == 0
    assert main(["ls", "datasets", "--plugin", plugin]) == 0
    [origin] = datasets.origins("stripes")
    assert origin.version.startswith("sha256-")


@example("mixer")
def test_a_backbone_family(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "dense", "--backbone", "mixer_digits", "--plugin", plugin]) == 0, capsys.readouterr().out
    assert "dense: all laws hold on mixer_digits" in capsys.readouterr().out


def test_the_names_that_a_method_is_built_from_exist() -> None:
    packages = "backbones|exits|ops|cost|recipes|schedules"
    table = re.findall(rf"^\| \**(`(?:{packages})\.[^|]+?) \|", _text("docs/extending.md"), re.MULTILINE)
    assert len(table) > 20
    for cell in table:
        first, *more = re.findall(r"`([\w.]+)`", cell.replace("*", ""))
        module, _, name = first.rpartition(".")
        found = vars(__import__(f"dynvit.{module}", fromlist=[name]))
        assert {name, *more} <= found.keys(), cell


@pytest.mark.parametrize("number", range(len(blocks("docs/attacks.md"))))
def test_the_page_of_attacks_runs(number: int) -> None:
    exec(compile(blocks("docs/attacks.md")[number], "docs/attacks.md", "exec"), {"__name__": "shown"})


def test_a_published_board_is_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = blocks("leaderboards/README.md")
    found: dict[str, object] = {}
    monkeypatch.chdir(ROOT)
    exec(code, found)
    assert len(found["frame"]) == len(found["board"].entries)  # type: ignore[attr-defined, arg-type]


def test_the_layers_are_those_that_are_tested() -> None:
    from test_architecture import LAYERS

    shown = re.search(r"Imports go down: (.*?)\. The core", _text("docs/design.md"), re.DOTALL)
    assert shown is not None
    layers = [set(re.findall(r"\w+", layer)) for layer in shown[1].split("→")]
    assert layers == [layer for layer in LAYERS if not layer & {"__main__"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert link.startswith("http") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_fields_words(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not [found[0] for found in NOT_OURS.finditer(prose)]


@pytest.mark.parametrize("file", sorted((ROOT / "dynvit" / "cli").glob("*.py")), ids=lambda file: file.stem)
def test_the_command_line_uses_the_fields_words(file: Path) -> None:
    for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT) and token.string != '"fold"':
            assert not NOT_OURS.search(token.string), token.string


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _vit_digits() -> tuple[object, object]:
    from dynvit.backbones.build import BackboneSpec, build

    return build(BackboneSpec("vit_digits", num_classes=10)), methods.get("dense").Options()
