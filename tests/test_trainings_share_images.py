"""A bench opens the images that its models were trained on once, however many of them are finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench_helpers import bench

from dynvit.training import images


@pytest.mark.slow
def test_finished_trainings_are_held_to_one_opening_of_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"methods": ["dense", "dynamicvit"], "epochs": 1, "points": 1}
    bench(tmp_path / "out", **asked)
    opened = []
    whole = images.open_split

    def counted(spec: Any, split: str, **given: Any) -> Any:
        opened.append(split)
        return whole(spec, split, **given)

    monkeypatch.setattr(images, "open_split", counted)
    bench(tmp_path / "out", **asked)
    assert opened.count("train") == 1
