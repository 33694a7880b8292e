"""Merging: each measurement once, again without a change, whole or not at all; what contradicts is named."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistent_bench import make_bench
from dynvit.cli import main
from dynvit.errors import InputError
from dynvit.leaderboard.digest import with_digest
from dynvit.leaderboard.per_sample import PerSampleResults, PerSampleStore, images_hash, pack
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.report import read_board
from dynvit.report.found import checked
from dynvit.report.merging import merge

PUBLISHED = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Record]) -> Path:
    """A bench's folder with every kind of line."""
    return make_bench(tmp_path_factory.mktemp("bench") / "whole", measure)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shares(whole: Path, into: Path, parts: int = 2) -> list[Path]:
    """The folder cut in parts: every n-th record with all that was measured of it, and the first record in each."""
    names = [line["record_id"] for line in lines(whole / "runs.jsonl")]
    made = []
    for part in range(parts):
        own = {names[0], *names[part::parts]}
        folder = into / f"share-{part}"
        folder.mkdir(parents=True)
        for file in whole.glob("*.jsonl"):
            kept = [line for line in file.read_text().splitlines() if json.loads(line)["record_id"] in own]
            (folder / file.name).write_text("\n".join([*kept, ""]))
        made.append(folder)
    return made


def edit(file: Path, number: int, change: Callable[[dict[str, Any]], None]) -> None:
    """One line, with its digest made again."""
    texts = file.read_text().splitlines()
    body = json.loads(texts[number])
    change(body)
    texts[number] = json.dumps(with_digest(body))
    file.write_text("\n".join([*texts, ""]))


def test_shares_of_a_bench_come_to_what_the_undivided_bench_has(whole: Path, tmp_path: Path) -> None:
    merged = merge(shares(whole, tmp_path, 3), tmp_path / "out")
    assert read_board(tmp_path / "out" / "leaderboard.json") == read_board(whole / "leaderboard.json") == merged.board
    for file in whole.glob("*.jsonl"):
        key = "key" if "key" in lines(file)[0] else "record_id"
        here, there = ({line[key]: line for line in lines(one / file.name)} for one in (whole, tmp_path / "out"))
        assert here == there


def test_the_same_merge_again_and_in_another_order_changes_no_byte(whole: Path, tmp_path: Path) -> None:
    one, other = shares(whole, tmp_path)
    merge([one, other], tmp_path / "out")
    before = contents(tmp_path / "out")
    for again in ([one], [other, one], [tmp_path / "out"], [whole]):
        assert merge(again, tmp_path / "out").changed == ()
        assert contents(tmp_path / "out") == before


def test_a_board_is_merged_with_the_lines_beside_it_and_stays_valid(whole: Path, tmp_path: Path) -> None:
    one, other = shares(whole, tmp_path)
    merge([one], tmp_path / "boards" / "mine.json")
    merged = merge([other], tmp_path / "boards" / "mine.json")
    assert read_board(tmp_path / "boards" / "mine.json").entries == read_board(whole / "leaderboard.json").entries
    assert {path.name for path in merged.changed} >= {"mine.json", "mine.runs.jsonl", "mine.robustness.jsonl"}
    assert all(line.endswith("all valid") for line in checked(tmp_path / "boards"))


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("per_sample.jsonl", lambda body: body.update(images="0" * 16), ("per-sample results of", "images must be")),
        ("runs.jsonl", lambda body: body["backbone"].update(params=7), ("record", "backbone.params must be 5717416")),
        ("runs.jsonl", lambda body: body["accuracy"].update(top5_pct=99.0), ("accuracy.top5_pct must be", "got 9")),
        ("corruption.jsonl", lambda body: body["result"].update(gmacs_mean=3.0), ("corruption", "result.gmacs_mean")),
    ],
)
def test_what_contradicts_is_refused_by_name_and_nothing_is_written(
    whole: Path, tmp_path: Path, file: str, change: Callable[[dict[str, Any]], None], says: tuple[str, ...]
) -> None:
    one, other = shares(whole, tmp_path)
    for number in range(len(lines(other / file))):
        edit(other / file, number, change)
    merge([one], tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(InputError) as refused:
        merge([other], tmp_path / "out")
    for words in says:
        assert words in str(refused.value)
    assert contents(tmp_path) == before
    with pytest.raises(InputError):
        merge([one, other], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_records_of_one_point_with_other_numbers_are_named_with_both(
    measure: Callable[..., Record], tmp_path: Path
) -> None:
    for name, correct in (("one", 3500), ("other", 3501)):
        with RunStore(tmp_path / name / "runs.jsonl") as store:
            store.append(measure(correct=correct))
    with pytest.raises(InputError, match=r"top1_pct must be 70 \(as in .*one/runs.jsonl line 1\), got 70.02"):
        merge([tmp_path / "one", tmp_path / "other"], tmp_path / "out")


def test_a_line_that_was_edited_is_not_merged(whole: Path, tmp_path: Path) -> None:
    [one, *_] = shares(whole, tmp_path)
    text = (one / "runs.jsonl").read_text().replace('"wall_s":12.5', '"wall_s":1.5', 1)
    (one / "runs.jsonl").write_text(text)
    with pytest.raises(InputError, match="line 1 must be as it was written"):
        merge([one], tmp_path / "out")


def test_timings_made_again_are_no_contradiction_and_the_newest_stands(whole: Path, tmp_path: Path) -> None:
    one, other = shares(whole, tmp_path)

    def again(body: dict[str, Any]) -> None:
        body["date_utc"] = "2026-11-21T12:00:00Z"
        body["wall_s"] = 2.0

    for number in range(len(lines(other / "speed.jsonl"))):
        edit(other / "speed.jsonl", number, again)
    for order in ([one, other], [other, one]):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        merge(order, tmp_path / "out")
        newest = {line["key"]: line["wall_s"] for line in lines(tmp_path / "out" / "speed.jsonl")}
        assert all(newest[line["key"]] == 2.0 for line in lines(other / "speed.jsonl"))


def test_the_record_of_the_lowest_budget_stands(measure: Callable[..., Record], tmp_path: Path) -> None:
    record = measure()
    for target in (0.9, 0.8, None):
        point = record.point.model_copy(update={"target_gmacs": target})
        with RunStore(tmp_path / str(target) / "runs.jsonl") as store:
            store.append(record.model_copy(update={"point": point}))
    merged = merge([tmp_path / name for name in ("None", "0.9", "0.8")], tmp_path / "out")
    assert [entry.target_gmacs for entry in merged.board.entries] == [0.8]


def test_a_board_without_records_keeps_its_entries_beside_new_ones(whole: Path, tmp_path: Path) -> None:
    one, other = shares(whole, tmp_path)
    (tmp_path / "old").mkdir()
    made = merge([one], tmp_path / "made" / "bare.json").board
    bare = Path(shutil.copy(tmp_path / "made" / "bare.json", tmp_path / "old"))
    known = {entry.record_id for entry in made.entries}
    for file in other.glob("*.jsonl"):
        new = [line for line in file.read_text().splitlines() if json.loads(line)["record_id"] not in known]
        file.write_text("\n".join([*new, ""]))
    merged = merge([other], bare).board
    everything = {entry.record_id for entry in read_board(whole / "leaderboard.json").entries}
    assert {entry.record_id for entry in merged.entries} == everything > known
    assert all(line.endswith("all valid") for line in checked(tmp_path / "old"))
    assert merge([other], bare).changed == ()


def test_published_boards_merged_with_themselves_stay_what_they_are(tmp_path: Path) -> None:
    for file in PUBLISHED.glob("*.json*"):
        shutil.copy(file, tmp_path)
    before = contents(tmp_path)
    for board in tmp_path.glob("*.json"):
        assert merge([PUBLISHED / board.name], board).changed == ()
    assert contents(tmp_path) == before


def write_run(folder: Path, measure: Callable[..., Record], numbers: range) -> Path:
    """A record of each number, with its per-sample results."""
    n, images = 40, images_hash(map(str, range(40)))
    with RunStore(folder / "runs.jsonl") as runs, PerSampleStore(folder / "per_sample.jsonl") as kept:
        for number in numbers:
            bits = np.arange(n) < 20 + number % 15
            gmacs = 1.0 + number / 1000
            record = measure(gmacs=gmacs, correct=int(bits.sum()), n=n, dense=2.0)
            kept.append(PerSampleResults(record_id=record.record_id, n=n, images=images, right=pack(bits)))
            runs.append(record)
    return folder


def _merge_each(folders: list[Path], output: Path, begin: Any) -> None:
    begin.wait()
    for folder in folders:
        merge([folder], output)


@pytest.mark.parametrize("output", ["boards/board.json", "merged"])
def test_two_processes_merging_fifty_records_each_lose_none(
    measure: Callable[..., Record], tmp_path: Path, output: str
) -> None:
    places = {
        side: [write_run(tmp_path / f"{side}{k}", measure, range(at + 10 * k, at + 10 * k + 10)) for k in range(5)]
        for side, at in (("a", 0), ("b", 50))
    }
    context = multiprocessing.get_context("fork")
    begin = context.Barrier(2)
    both = [context.Process(target=_merge_each, args=(own, tmp_path / output, begin)) for own in places.values()]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
        assert one.exitcode == 0
    file = tmp_path / output
    runs = file / "runs.jsonl" if file.is_dir() else file.with_suffix(".runs.jsonl")
    names = [line["record_id"] for line in lines(runs)]
    assert len(names) == len(set(names)) == 100
    assert all(line.endswith("all valid") for line in checked(file if file.is_dir() else file.parent))


def test_the_command_says_what_came_of_it(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(whole), "-o", str(tmp_path / "out")]) == 0
    assert "5 entries, 5 new" in capsys.readouterr().out
    assert main(["merge", str(whole), "-o", str(tmp_path / "out")]) == 0
    assert "5 entries, 0 new; nothing changed" in capsys.readouterr().out


def test_a_bench_in_parts_is_published_with_its_own_command(whole: Path, tmp_path: Path) -> None:
    """Records of cells name the cells' commands; the folder's board names that of the bench."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    edit(run / "runs.jsonl", 1, lambda line: line.update(command="dynvit bench --cell=accuracy:x"))
    made = merge([run], tmp_path / "b.json", reporting=True).board
    assert made.generated.command == read_board(whole / "leaderboard.json").generated.command
