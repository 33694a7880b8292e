"""A claim of accuracy under an attack is judged on two entries that met it, and were attacked alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claims_helpers import claim
from consistent_bench import make_bench
from dynvit.leaderboard.follow_up import follow_up_key
from dynvit.leaderboard.record import Record
from dynvit.report import build_board, read_run
from dynvit.report.claims import Evidence, judge
from dynvit.report.claims.outcome import Finding

DVT, DENSE = "dvt", "dense"


@pytest.fixture
def project(tmp_path: Path, measure: Callable[..., Record]) -> Callable[..., Path]:
    """A project with the board of a bench: pgd is called otherwise in the lines of some methods, beside it or not."""

    def made(renamed: dict[str, str], lines: bool = True) -> Path:
        for name in ("run", "leaderboards"):
            (tmp_path / name).mkdir()
        file = make_bench(tmp_path / "run", measure).parent / "run" / "robustness.jsonl"
        methods = {record.record_id: record.method.name for record in read_run(tmp_path / "run").records}
        kept = [_renamed(json.loads(line), methods, renamed) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in kept))
        board = build_board(read_run(tmp_path / "run"), command="dynvit bench --robustness fgsm,apgd-t")
        board.write(tmp_path / "leaderboards" / "b.json")
        if lines:
            (tmp_path / "leaderboards" / "b.robustness.jsonl").write_bytes(file.read_bytes())
        return tmp_path

    return made


def _renamed(line: dict[str, Any], methods: dict[str, str], renamed: dict[str, str]) -> dict[str, Any]:
    name = renamed.get(methods[line["record_id"]])
    if name is not None and line["result"]["attack"] == "pgd":
        line["config"]["attack"] = line["result"]["attack"] = name
        line["key"] = follow_up_key(line["record_id"], line["config"])
    return {key: value for key, value in line.items() if key != "sha256"}


def found(root: Path, attack: str | None) -> Finding:
    entry = {"method": DVT, "share": 0.6}
    [finding] = judge(
        claim(kind="robust", boards=["b"], entry=entry, norm="linf", eps=0.01, attack=attack), Evidence(root)
    ).findings
    return finding


def test_apgd_is_not_apgd_t_whatever_the_command_says(project: Callable[..., Path]) -> None:
    root = project({DVT: "apgd-t", DENSE: "apgd-t"})
    finding = found(root, "apgd")
    assert (finding.outcome, "not attacked by apgd" in finding.because) == ("not measured yet", True)
    assert "against dense" in found(root, "apgd-t").what


def test_both_entries_must_have_met_the_attack(project: Callable[..., Path]) -> None:
    finding = found(project({DVT: "apgd"}), "apgd")
    assert finding.outcome == "not measured yet"
    assert finding.because == "the board has no entry of dense with that measurement"


@pytest.mark.parametrize("lines", [True, False])
def test_two_that_met_other_attacks_are_no_test(project: Callable[..., Path], lines: bool) -> None:
    finding = found(project({DVT: "apgd"}, lines), "fgsm")
    assert finding.outcome == "not testable here"
    assert finding.because == "the two have not met the same attacks: they differ in apgd, pgd"


def test_without_lines_the_strongest_attack_is_known(project: Callable[..., Path]) -> None:
    root = project({}, lines=False)
    assert found(root, "square").because == "as far as it tells, the board was not attacked by square"
    assert "against dense" in found(root, None).what
