"""How far an entry can be trusted follows from what lies beside its board; what a file says of that is not believed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynvit.cli import main
from dynvit.leaderboard.digest import with_digest
from dynvit.leaderboard.per_sample import pack, read_per_sample
from dynvit.leaderboard.store import RunStore
from dynvit.leaderboard.verification import Verification, VerificationStore, drawn, key_of
from dynvit.report import read_board
from dynvit.report.evidence import standings_in

BOARDS, OLDER = Path(__file__).parents[2] / "leaderboards", Path(__file__).parents[1] / "boards"
DENSE, DVT = "09cfb1aea2fa770d", "dcc9233d09b4991f"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The digits board with its lines, to change."""
    for file in BOARDS.glob("digits*.json*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "digits.json"


def measured_again(board: Path, name: str, flipped: int = 0, n: int = 100, **changes: Any) -> Verification:
    """A verification of an entry that differs in some images."""
    kept = read_per_sample(board)[name]
    [record] = [one for one in RunStore(board.with_suffix(".runs.jsonl")).read() if one.record_id == name]
    bits = kept.bits()[drawn(kept.n, n, 7)]
    bits[:flipped] ^= True
    date = changes.pop("date", datetime(2026, 12, 1, tzinfo=UTC))
    values: dict[str, Any] = {"record_id": name, "by": "Ada", "way": "same weights", "n": n, "of": kept.n, "seed": 7}
    values |= {"images": kept.images, "right": pack(bits), "gmacs_mean": record.compute.gmacs_mean, "gmacs_sd": 0.0}
    values |= {"environment": record.environment, "command": "dynvit verify", "date_utc": date}
    return Verification(key=key_of(name, "Ada", date.isoformat()), **values | changes)


def keep(board: Path, *lines: Verification) -> None:
    with VerificationStore(board.with_suffix(".verified.jsonl")) as store:
        for line in lines:
            store.append(line)


def test_an_entry_without_evidence_is_self_reported() -> None:
    tiers = {standing.tier for standing in standings_in(OLDER / "cifar10.json").values()}
    assert tiers == {"self-reported"}


def test_an_entry_with_whole_evidence_is_checked(board: Path) -> None:
    assert {standing.tier for standing in standings_in(board).values()} == {"evidence checked"}
    lines = board.with_suffix(".per_sample.jsonl").read_text().splitlines(keepends=True)
    board.with_suffix(".per_sample.jsonl").write_text("".join(lines[1:]))
    assert standings_in(board)[DENSE].tier == "self-reported"


@pytest.mark.parametrize("file", ["per_sample", "runs"])
def test_evidence_that_contradicts_is_none_even_with_its_digest_made_again(board: Path, file: str) -> None:
    path = board.with_suffix(f".{file}.jsonl")
    first, *rest = path.read_text().splitlines()
    body = json.loads(first)
    if file == "per_sample":
        body["right"] = pack(np.arange(body["n"]) < 300)
    else:
        body["accuracy"]["top1_ci95_low_pct"] -= 0.5
    path.write_text("\n".join([json.dumps(with_digest(body)), *rest, ""]))
    assert standings_in(board)[DENSE].tier == "self-reported"


def test_a_number_edited_on_the_board_takes_its_entry_the_tier(board: Path) -> None:
    body = json.loads(board.read_text())
    body["entries"][0]["gmacs_p95"] *= 1.5
    board.write_text(json.dumps(with_digest(body)))
    found = standings_in(board)
    assert found[DENSE].tier == "self-reported"
    assert found[DVT].tier == "evidence checked"
    body["entries"][0]["gmacs_p95"] *= 1.5
    board.write_text(json.dumps(body))  # its digest is of before
    assert {standing.tier for standing in standings_in(board).values()} == {"self-reported"}


def test_who_measured_again_and_when_is_told_where_it_agrees(board: Path) -> None:
    keep(board, measured_again(board, DENSE))
    found = standings_in(board)[DENSE]
    assert found.tier == "re-measured"
    assert "by Ada on 2026-12-01 (same weights; none of 100 images differ" in found.said


def test_the_newest_measurement_decides_and_one_that_differs_is_a_dispute(
    board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = datetime(2026, 12, 2, tzinfo=UTC)
    keep(board, measured_again(board, DENSE), measured_again(board, DENSE, flipped=5, date=late))
    found = standings_in(board)[DENSE]
    assert (found.tier, found.is_disputed) == ("evidence checked", True)
    assert main(["show", str(board), "--format", "md", "--columns", "id,tier"]) == 0
    assert "| 09cf | disputed |" in capsys.readouterr().out


def test_on_other_software_one_image_may_differ_and_on_the_same_none(board: Path) -> None:
    line = measured_again(board, DENSE, flipped=1)
    keep(board, line)
    assert standings_in(board)[DENSE].is_disputed
    elsewhere = line.environment.model_copy(update={"torch": "9.9"})
    late = datetime(2026, 12, 2, tzinfo=UTC)
    keep(board, measured_again(board, DENSE, flipped=1, environment=elsewhere, date=late))
    assert standings_in(board)[DENSE].tier == "re-measured"


@pytest.mark.parametrize("changes", [{"gmacs_mean": 0.00206}, {"images": "0" * 16}, {"of": 358}])
def test_other_costs_and_other_images_do_not_agree(board: Path, changes: dict[str, Any]) -> None:
    keep(board, measured_again(board, DENSE, **changes))
    assert standings_in(board)[DENSE].is_disputed


def test_a_draw_without_the_few_costly_images_is_no_dispute(board: Path) -> None:
    [record] = [one for one in RunStore(board.with_suffix(".runs.jsonl")).read() if one.record_id == DVT]
    cheap = record.compute.gmacs_p5  # most images leave at the first exit
    assert cheap < 0.8 * record.compute.gmacs_mean
    keep(board, measured_again(board, DVT, n=60, gmacs_mean=cheap))
    assert not standings_in(board)[DVT].is_disputed
    keep(board, measured_again(board, DVT, n=300, gmacs_mean=cheap, date=datetime(2026, 12, 2, tzinfo=UTC)))
    assert standings_in(board)[DVT].is_disputed


def test_a_verification_that_was_edited_counts_nothing(board: Path) -> None:
    keep(board, measured_again(board, DENSE))
    file = board.with_suffix(".verified.jsonl")
    file.write_text(file.read_text().replace('"way":"same weights"', '"way":"trained again"'))
    assert standings_in(board)[DENSE].tier == "self-reported"
    assert main(["validate", str(board.parent)]) == 2


def test_without_evidence_by_image_the_number_must_be_one_that_chance_draws(board: Path) -> None:
    keep(board, measured_again(board, DENSE), measured_again(board, DVT, flipped=20))
    board.with_suffix(".per_sample.jsonl").unlink()
    board.with_suffix(".runs.jsonl").unlink()
    found = standings_in(board)
    assert found[DENSE].tier == "re-measured"
    assert "p = " in found[DENSE].said
    assert found[DVT].is_disputed


def test_another_training_may_differ_as_much_as_seeds_do(board: Path) -> None:
    entry = next(one for one in read_board(board).entries if one.record_id == DENSE)
    assert entry.top1_pct > 90
    keep(board, measured_again(board, DENSE, flipped=2, n=359, way="trained again"))
    keep(board, measured_again(board, DVT, flipped=60, n=359, way="trained again"))
    found = standings_in(board)
    assert (found[DENSE].tier, found[DVT].is_disputed) == ("re-measured", True)
