"""Boards for pages: the published digits with a paper's row beside them, and the structure of what is written."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from dynvit.leaderboard.paper import PaperRow
from dynvit.leaderboard.spread import SeedSpread, spread_of
from dynvit.report import Board
from dynvit.site.source import Source, sources_in

BOARDS = Path(__file__).parents[1] / "leaderboards"
OLDER = Path(__file__).parent / "boards"
"""A board of November 2026, from before the protocol: attacked at several radii, corrupted, timed, without records."""


def digits() -> Source:
    """The published board, with its evidence, a row that a paper might print, and two entries taken for two seeds."""
    [source] = sources_in([BOARDS / "digits.json"])
    setting = source.board.setting
    row = PaperRow(
        method="avit", label="A-ViT, 3 halting blocks", backbone=setting.backbone, dataset=setting.dataset,
        split=setting.split, gmacs_mean=0.0011, rule="as printed", top1_pct=91.0, top5_pct=None,
        source="A paper, Table 1",
    )  # fmt: skip
    pair = [entry for entry in source.board.entries if entry.method == "dvt"][1:3]
    spread = SeedSpread(
        method="dvt", options=pair[0].options, target_gmacs=pair[0].target_gmacs, knobs=None, seeds=(0, 1),
        record_ids=(pair[0].record_id, pair[1].record_id),
        **spread_of([one.top1_pct for one in pair], [one.gmacs_mean for one in pair]),
    )  # fmt: skip
    board = source.board.model_copy(update={"paper": (row,), "seeds": (spread,)})
    return Source("digits", board, source.file, source.evidence_file, source.evidence)


def with_text(text: str) -> Source:
    """Two entries of the CIFAR-10 board, attacked and timed, with one text in every field that takes any."""
    body: dict[str, Any] = json.loads((OLDER / "cifar10.json").read_text(encoding="utf-8"))
    attacked = [entry for entry in body["entries"] if "robustness" in entry["measurements"]][:2]
    for number, entry in enumerate(attacked):
        entry |= {"method": text, "record_id": f"{text}{number}", "options": {text: text}, "skipped": {text: text}}
        entry |= {"knobs": {text: text}, "training": {"division": "free", "recipe": text}}
        summary = entry["measurements"]["robustness"]
        summary["masking_signs"] = [text]
        for one in (*summary["accuracy"], *summary["slowdown"]):
            one["strongest" if "strongest" in one else "attack"] = text
        entry["measurements"]["speed"]["curves"] = entry["measurements"]["speed"]["curves"][:1]
        for curve in entry["measurements"]["speed"]["curves"]:
            for timing in (curve, *curve["sizes"]):
                timing |= {"device": text, "dtype": text}
        for row in entry["measurements"]["corruption"]["corruptions"]:
            row["name"] = f"{text} {row['name']}"
        entry["measurements"][text] = {text: text, "list": [{text: text}]}
    body["entries"] = attacked
    body["methods"] = [body["methods"][0] | {"name": text, "distribution": text}]
    body["setting"] |= {"dataset": text, "split": text, "backbone": text}
    body["generated"]["command"] = text
    printed = {"method": text, "label": text, "backbone": text, "dataset": text, "split": text, "source": text}
    body["paper"] = [printed | {"gmacs_mean": 0.05, "rule": text, "top1_pct": 80.0, "top5_pct": None}]
    return Source("text", Board.model_validate_json(json.dumps(body)))


class Structure(HTMLParser):
    """What a page is made of: elements with the names of their attributes; scripts' text, links, and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.scripts: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        self._inside = tag
        self.links += [(tag, value or "") for name, value in attrs if name in ("href", "src") and tag != "use"]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)
