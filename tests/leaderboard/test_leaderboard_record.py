"""Records survive the way to disk and back, kills included, and lie about nothing that can be checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dynvit.environment import capture
from dynvit.errors import InputError
from dynvit.leaderboard.record import Record
from dynvit.leaderboard.store import RunStore
from dynvit.report.schema import schemas

FINITE = st.floats(0.01, 100)
KNOBS = st.dictionaries(st.text(min_size=1), st.booleans() | st.integers(-(10**9), 10**9) | FINITE | st.text())


@given(st.integers(1, 50_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), FINITE, FINITE, KNOBS)
def test_a_record_is_the_same_after_json(measure, counts, gmacs, dense, knobs) -> None:
    record = measure(gmacs=gmacs, dense=dense, correct=counts[0], n=counts[1], knobs=knobs)
    line = record.model_dump_json()
    assert "\n" not in line
    assert Record.model_validate_json(line) == record
    assert Record.model_validate_json(line).model_dump_json() == line


def test_the_id_follows_the_question_and_nothing_else(measure) -> None:
    first = measure()
    same = measure(correct=17, date=datetime(2027, 1, 1, tzinfo=UTC))
    assert same.record_id == first.record_id
    others = [
        measure(method="random"),
        measure(knobs={"keep_ratio": 0.5}),
        measure(seed=1),
        measure(n=4000),
        measure(role="search"),
        measure(backbone="deit_small_patch16_224"),
        measure(dataset="cifar10"),
    ]
    assert len({record.record_id for record in [first, *others]}) == 1 + len(others)
    assert measure(knobs={"r": 8}).record_id == measure(knobs={"r": 8.0}).record_id


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("dataset.n_unique", 4999, "lost or repeated"),
        ("accuracy.top1_pct", 101.0, "less than or equal to 100"),
        ("accuracy.top1_pct", 70.5, "not 100 n_correct"),
        ("accuracy.top1_pct", "70.0", "valid number"),
        ("accuracy.n_correct", 5001, "above n_unique"),
        ("accuracy.top1_ci95_low_pct", 71.0, "outside its own interval"),
        ("accuracy.top5_pct", 10.0, "below top1_pct"),
        ("compute.gmacs_mean", float("nan"), "finite"),
        ("compute.gmacs_p5", 1.0, "must not fall"),
        ("compute.saving_pct", 1.0, "saving_pct"),
        ("point.realised_gmacs", 0.7, "realised_gmacs"),
        ("point.knobs", {"keep_ratio": 0.1}, "edited by hand"),
        ("method.options", {"a": [1.0, float("inf")]}, "finite"),
        ("date_utc", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), "UTC"),
        ("date_utc", datetime(2026, 1, 1), "timezone"),
        ("provenance", "paper", "measured"),
        ("colour", "red", "Extra inputs"),
    ],
)
def test_what_cannot_be_true_is_refused(measure, path: str, value: Any, reason: str) -> None:
    fields = measure().model_dump()
    *outer, last = path.split(".")
    inner = fields
    for key in outer:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ValidationError, match=reason):
        Record.model_validate(fields)


def test_the_published_schemas_are_the_models(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dynvit.report.schema", str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"DYNVIT_DISABLE_PLUGINS": "1"})
    now, published = (
        {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*")}
        for folder in (tmp_path, Path(__file__).parents[2] / "leaderboards" / "schema")
    )
    assert published == now, "run `python -m dynvit.report.schema leaderboards/schema`, and remove what is not written"


def test_every_published_field_says_what_it_is() -> None:
    for text in schemas().values():
        schema = json.loads(text)
        for model in [schema, *schema.get("$defs", {}).values()]:
            for name, field in model.get("properties", {}).items():
                assert field.get("description"), name


def test_the_environment_tells_versions_and_no_names_of_people_or_machines() -> None:
    text = capture().model_dump_json()
    assert json.loads(text)["python"] == sys.version.split()[0]
    for private in (os.uname().nodename, str(Path.home()), str(Path.cwd())):
        assert len(private) < 3 or private not in text


class TestRunStore:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "out" / "runs.jsonl"

    def test_gives_back_what_was_appended_in_order(self, path: Path, measure) -> None:
        records = [measure(gmacs=gmacs) for gmacs in (0.5, 0.4, 0.6)]
        with RunStore(path) as store:
            assert store.read() == []
            for record in records:
                store.append(record)
        assert RunStore(path).read() == records
        assert RunStore(path).find(records[1].record_id) == records[1]
        assert RunStore(path).find("0" * 16) is None

    def test_the_last_line_of_an_id_stands_in_the_place_of_the_first(self, path: Path, measure) -> None:
        with RunStore(path) as store:
            for record in (measure(correct=1), measure(gmacs=0.4), measure(correct=2)):
                store.append(record)
        assert RunStore(path).read() == [measure(correct=2), measure(gmacs=0.4)]
        assert len(path.read_bytes().splitlines()) == 3

    def test_a_line_torn_at_any_byte_costs_that_line_and_no_other(self, path: Path, measure) -> None:
        one, two, three = (measure(gmacs=gmacs) for gmacs in (0.4, 0.5, 0.6))
        with RunStore(path) as store:
            store.append(one)
        start = path.read_bytes()
        line = two.model_dump_json().encode()
        for cut in (1, 2, len(line) // 3, len(line) - 1):
            path.write_bytes(start + line[:cut])
            with pytest.warns(UserWarning, match="dropped a torn last line"):
                assert RunStore(path).read() == [one]
            with pytest.warns(UserWarning, match="cut off a torn last line"), RunStore(path) as store:
                store.append(three)
            assert RunStore(path).read() == [one, three]

    def test_a_whole_last_line_without_its_newline_is_kept(self, path: Path, measure) -> None:
        one, two = measure(gmacs=0.4), measure(gmacs=0.5)
        path.parent.mkdir()
        path.write_text(one.model_dump_json())
        assert RunStore(path).read() == [one]
        with RunStore(path) as store:
            store.append(two)
        assert RunStore(path).read() == [one, two]

    def test_a_line_of_version_1_is_read_as_one_of_today(self, path: Path, measure) -> None:
        line = measure().model_dump(mode="json") | {"schema_version": 1, "speed": [], "robustness": [], "findings": []}
        path.parent.mkdir()
        path.write_text(json.dumps(line) + "\n")
        assert RunStore(path).read() == [measure()]
        path.write_text(json.dumps(line | {"findings": ["a sign"]}) + "\n")
        with pytest.raises(InputError, match=r"line 1 is not a record: findings must be empty"):
            RunStore(path).read()

    @pytest.mark.parametrize(
        "broken",
        [
            '{"schema_version": 1, ',
            "[1, 2]",
            '{"schema_version": 1}',
            '{"schema_version": 2}',
            '{"schema_version": 3}',
            "\0\0",
        ],
    )
    def test_a_broken_line_in_the_middle_is_named_by_its_number(self, path: Path, measure, broken: str) -> None:
        line = measure().model_dump_json()
        path.parent.mkdir()
        path.write_text(f"{line}\n\n{broken}\n{line}\n")
        with pytest.raises(InputError, match=r"runs\.jsonl line 3 is not a record") as caught:
            RunStore(path).read()
        assert "\n" not in str(caught.value)

    def test_a_second_writer_is_refused_until_the_first_has_left(self, path: Path, measure) -> None:
        with RunStore(path), pytest.raises(InputError, match="another process is writing"):
            RunStore(path).append(measure())
        RunStore(path).append(measure())
        assert len(RunStore(path).read()) == 1

    def test_what_append_returned_from_survives_sigkill(self, path: Path, measure, tmp_path: Path) -> None:
        """A child appends for ever and names each id after its append; it is killed in mid-flight."""
        lines = tmp_path / "lines"
        lines.write_text("\n".join(measure(gmacs=0.1 + i / 1000).model_dump_json() for i in range(200)))
        child = (
            "import sys; from dynvit.leaderboard.store import RunStore; from dynvit.leaderboard.record import Record\n"
            "with RunStore(sys.argv[1]) as store:\n"
            "    for line in open(sys.argv[2]):\n"
            "        record = Record.model_validate_json(line); store.append(record)\n"
            "        print(record.record_id, flush=True)\n"
            "    sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", child, str(path), str(lines)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
        )
        assert process.stdout is not None
        said = [process.stdout.readline().decode().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].decode().split()
        kept = [record.record_id for record in RunStore(path).read()]
        assert kept[: len(said)] == said
        RunStore(path).append(measure(gmacs=1.0))  # the lock died with its owner
        assert len(RunStore(path).read()) == len(kept) + 1
