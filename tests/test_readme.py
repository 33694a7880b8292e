"""What the README states is what the published boards hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from dynvit.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_one_that_is_read_to_its_end() -> None:
    assert len(README.splitlines()) < 150
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_python_on_the_first_screen_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the bench above it, here with fewer epochs, in a folder that has what a clone has."""
    for name in ("docs", "leaderboards"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    alike = ["--division", "fine-tuned", "--targets", "0.6"]  # as the bench of the README trains without being asked
    assert main(["bench", "--methods", "dense,mia", "--epochs", "3", *alike]) == 0
    [code] = re.findall(r"```python\n(import dynvit\n.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "served" / "model.safetensors").is_file()
