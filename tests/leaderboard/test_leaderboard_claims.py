"""A verdict follows from the boards by one rule; what is not measured is never filled in; the page is what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from claims_helpers import N, Project, accuracy, claim
from consistent_bench import make_bench
from dynvit.cli import command_line
from dynvit.errors import InputError
from dynvit.leaderboard.papers import read_papers
from dynvit.leaderboard.per_sample import PerSampleResults, PerSampleStore, pack
from dynvit.leaderboard.record import Record
from dynvit.report.claims import Evidence, judge, page, read_claims
from dynvit.report.claims.__main__ import main
from dynvit.report.claims.claim import Claim
from dynvit.report.claims.differences import of_shares
from dynvit.report.claims.outcome import OUTCOMES

ROOT = Path(__file__).parents[2]
YAML = (ROOT / "leaderboards" / "claims.yaml").read_text(encoding="utf-8")
CLAIMS = read_claims(ROOT / "leaderboards")


@pytest.fixture
def project(tmp_path: Path, measure: Callable[..., Record]) -> Project:
    return Project(tmp_path, measure)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]) -> Path:
    """A project whose board was attacked and timed: 12 images attacked within L∞ 0.01 and 0.05."""
    root = tmp_path_factory.mktemp("project")
    (root / "run").mkdir()
    (root / "leaderboards").mkdir()
    shutil.copy(make_bench(root / "run", measure) / "leaderboard.json", root / "leaderboards" / "b.json")
    return root


def test_the_page_is_what_the_boards_say() -> None:
    written = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert written == page(CLAIMS, Evidence(ROOT)), "run python -m dynvit.report.claims"
    assert main([str(ROOT), "--check"]) == 0


def test_the_unpleasant_verdicts_come_first() -> None:
    written = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    places = [OUTCOMES.index(outcome) for outcome in re.findall(r"^\| \[([a-z ]+)\]", written, re.MULTILINE)]
    assert len(places) == len(CLAIMS.claims)
    assert places == sorted(places)


def test_every_claim_is_of_a_paper_whose_rows_stand_here() -> None:
    known = {paper.paper for paper in read_papers(ROOT / "leaderboards" / "papers")} | {"dynvit"}
    assert {one.paper for one in CLAIMS.claims} <= known
    assert {"MIA-Former", "DVT", "DynamicViT", "ToMe", "EViT", "DiffRate", "ATS"} <= {c.paper for c in CLAIMS.claims}


@pytest.mark.parametrize("name", [*CLAIMS.boards, *CLAIMS.results])
def test_the_commands_are_ones_that_there_are(name: str) -> None:
    """Every flag of them is known to the command that it is given to, and every script is there."""
    told = (CLAIMS.boards | CLAIMS.results)[name]
    found = re.findall(r"(?:dynvit|python benchmarks/)[^;&]+", told.split(" && cp")[0])
    assert found
    for command in found:
        words = shlex.split(command)
        if words[0] == "python":
            assert (ROOT / words[1]).is_file()
            continue
        app = typer.main.get_command(command_line(words[1:]))
        help_page = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "250"}).output
        flags = [word for word in words if word.startswith("-")]
        assert [flag for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", help_page)] == []


def test_without_boards_nothing_is_measured_and_nothing_filled_in(tmp_path: Path) -> None:
    verdicts = [judge(one, Evidence(tmp_path)) for one in CLAIMS.claims]
    assert {verdict.outcome for verdict in verdicts} == {"not measured yet", "not testable here"}
    assert all(finding.because and not finding.measured for verdict in verdicts for finding in verdict.findings)
    assert "commands" in page(CLAIMS, Evidence(tmp_path))


class TestOfAccuracy:
    def test_a_gain_beyond_the_interval_is_reproduced_and_a_loss_is_not(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        project.add("dvt", 0.8, 800)
        project.add("topk", 0.8, 600)
        project.add("tome", 0.8, 710)
        said = {m: project.verdict(accuracy({"method": m, "share": 0.8})).outcome for m in ("dvt", "topk", "tome")}
        assert said == {"dvt": "reproduced", "topk": "not reproduced", "tome": "inconclusive"}

    @pytest.mark.parametrize("right", [600, 800])
    @pytest.mark.parametrize("division", [None, "free"])
    def test_what_was_not_trained_alike_has_no_verdict(
        self, project: Project, division: str | None, right: int
    ) -> None:
        project.add("dense", 1.0, 700, division=division)
        project.add("dvt", 0.8, right, division=division)
        [finding] = project.verdict(accuracy({"method": "dvt", "share": 0.8})).findings
        assert (finding.outcome, finding.because) == (
            "not testable here",
            "the board does not say that both were trained alike",
        )
        assert f"{(right - 700) / 10:+.2f} points" in finding.measured

    def test_what_was_trained_for_another_cost_is_not_what_a_claim_is_of(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        project.add("mia", 0.8, 600, target=0.4)
        [finding] = project.verdict(of := accuracy({"method": "mia", "share": 0.8})).findings
        assert finding.outcome == "not measured yet"
        assert finding.because == "mia was trained for 0.4 of dense, not for 80 %, on the board"
        project.add("mia", 0.81, 690, target=0.7)
        [finding] = project.verdict(of).findings
        assert "81.0 % of dense, 69.00 %" in finding.what

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ({"method": "mia", "share": 0.8}, "no entry of mia"),
            ({"method": "dvt", "share": 0.3}, "no entry of dvt near 30 % of dense"),
            ({"method": "dvt", "knobs": {"keep_ratio": 0.7}}, "no entry of dvt with keep_ratio 0.7"),
            ({"method": "dvt", "share": 0.8, "options": {"criterion": "entropy"}}, "criterion entropy"),
            ({"method": "dvt", "share": 0.8, "division": "off-the-shelf"}, "off-the-shelf dvt"),
        ],
    )
    def test_an_entry_that_is_not_there_is_not_measured_yet(self, project: Project, entry: Any, says: str) -> None:
        project.add("dense", 1.0, 700)
        project.add("dvt", 0.8, 800)
        [finding] = project.verdict(accuracy(entry)).findings
        assert finding.outcome == "not measured yet"
        assert says in finding.because

    def test_the_entry_is_the_nearest_on_the_front_of_the_first_seed(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        project.add("dvt", 0.8, 500)  # dominated by the next
        project.add("dvt", 0.79, 650)
        project.add("dvt", 0.795, 660)  # within 1 % of it and better
        project.add("dvt", 0.9, 690)
        project.add("dvt", 0.81, 999, seed=1)
        [finding] = project.verdict(accuracy({"method": "dvt", "share": 0.8})).findings
        assert "79.5 % of dense, 66.00 %" in finding.what
        [finding] = project.verdict(accuracy({"method": "dense"}, against={"method": "dvt", "share": 0.8})).findings
        assert "+4.00 points" in finding.measured

    def test_the_same_cost_is_that_of_the_other_entry(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        project.add("topk", 0.6, 600)
        for share, right in ((0.5, 500), (0.6, 620), (0.75, 690)):
            project.add("dvt", share, right)
        against = {"method": "topk", "share": 0.6}
        [same] = project.verdict(accuracy({"method": "dvt", "times": 1.0}, against=against)).findings
        [more] = project.verdict(accuracy({"method": "dvt", "times": 1.25}, against=against)).findings
        assert ("60.0 % of dense, 62.00 %" in same.what, "75.0 % of dense, 69.00 %" in more.what) == (True, True)

    def test_seeds_are_averaged_and_widen_the_interval(self, project: Project) -> None:
        for seed, scatter in enumerate((-30, 0, 30)):
            project.add("dense", 1.0, 700, seed=seed)
            project.add("dvt", 0.8, 760 + scatter, seed=seed)
        verdict = project.verdict(accuracy({"method": "dvt", "share": 0.8}))
        assert verdict.outcome == "inconclusive"
        assert "+6.00 points" in verdict.findings[0].measured
        assert "of the first of 3 seeds" in verdict.findings[0].measured

    def test_per_sample_results_beside_a_board_pair_any_two_entries(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        ids = {project.add("dvt", 0.8, 610): np.arange(N) < 610, project.add("topk", 0.8, 600): np.arange(N) < 600}
        of = accuracy({"method": "dvt", "share": 0.8}, against={"method": "topk", "share": 0.8})
        assert project.verdict(of).outcome == "inconclusive"
        with PerSampleStore(project.root / "leaderboards" / "b.per_sample.jsonl") as kept:
            for name, bits in ids.items():
                kept.append(PerSampleResults(record_id=name, n=N, images="0" * 16, right=pack(bits)))
        verdict = project.verdict(of)
        assert verdict.outcome == "reproduced"
        assert "paired, 1,000 images" in verdict.findings[0].measured

    def test_the_least_favourable_board_decides_and_an_absent_one_does_not(self, project: Project) -> None:
        project.add("dense", 1.0, 700)
        project.add("dvt", 0.8, 800)
        both = claim(kind="accuracy", boards=["b", "later"], entry={"method": "dvt", "share": 0.8})
        assert project.verdict(both).outcome == "reproduced"
        assert [finding.outcome for finding in project.verdict(both).findings] == ["reproduced", "not measured yet"]
        project.add("dense", 1.0, 700, board="later")
        project.add("dvt", 0.8, 710, board="later")
        assert project.verdict(both).outcome == "inconclusive"
        assert [finding.outcome for finding in project.verdict(both).findings] == ["reproduced", "inconclusive"]

    def test_boards_that_disagree_are_mixed(self, project: Project) -> None:
        for board, right in (("b", 800), ("other", 600)):
            project.add("dense", 1.0, 700, board=board)
            project.add("dvt", 0.8, right, board=board)
        both = claim(kind="accuracy", boards=["b", "other"], entry={"method": "dvt", "share": 0.8})
        assert project.verdict(both).outcome == "mixed"

    def test_a_board_that_cannot_tell_takes_nothing_from_one_that_does(self, project: Project) -> None:
        for board, division in (("b", "fine-tuned"), ("other", None)):
            project.add("dense", 1.0, 700, board=board, division=division)
            project.add("dvt", 0.8, 800, board=board, division=division)
        both = claim(kind="accuracy", boards=["b", "other"], entry={"method": "dvt", "share": 0.8})
        assert project.verdict(both).outcome == "reproduced"
        assert [finding.outcome for finding in project.verdict(both).findings] == ["reproduced", "not testable here"]


class TestOfAttacksAndSpeed:
    def robust(self, **more: Any) -> Claim:
        told = {"entry": {"method": "dvt", "share": 0.6}, "norm": "linf", "eps": 0.0102} | more
        return claim(kind="robust", boards=["b"], **told)

    def test_an_attack_is_judged_by_the_worst_within_the_nearest_radius(self, bench: Path) -> None:
        [finding] = judge(self.robust(), Evidence(bench)).findings
        assert finding.because == "the board does not say that both were trained alike"
        assert "within linf 2.55/255" in finding.what
        assert "unpaired, 12 images" in finding.measured

    def test_lines_of_attacks_beside_a_board_pair_the_images(self, bench: Path, tmp_path: Path) -> None:
        [apart] = judge(self.robust(), Evidence(bench)).findings
        project = Path(shutil.copytree(bench, tmp_path / "again"))
        lines = project / "leaderboards" / "b.robustness.jsonl"
        shutil.copy(project / "run" / "robustness.jsonl", lines)
        [together] = judge(self.robust(), Evidence(project)).findings
        assert together.what == apart.what
        assert together.measured.split(" [")[0] == apart.measured.split(" [")[0]
        assert "(paired, 12 images)" in together.measured
        lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:1]))  # not all that the board counts
        assert judge(self.robust(), Evidence(project)).findings == (apart,)

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ({"eps": 0.02}, "not attacked within linf 0.02"),
            ({"norm": "l2"}, "not attacked within l2"),
            ({"attack": "square"}, "not attacked by square"),
        ],
    )
    def test_another_ball_or_attack_is_not_measured_yet(self, bench: Path, more: Any, says: str) -> None:
        [finding] = judge(self.robust(**more), Evidence(bench)).findings
        assert finding.outcome == "not measured yet"
        assert says in finding.because

    @pytest.mark.parametrize(
        ("bound", "of_theory", "outcome"),
        [
            (1.0, False, "reproduced"),
            (1.2, False, "inconclusive"),
            (1.31, False, "not reproduced"),
            (0.6, True, "reproduced"),
            (0.9, True, "not reproduced"),
        ],
    )
    def test_a_speed_up_is_judged_by_its_rounds(self, bench: Path, bound: float, of_theory: bool, outcome: str) -> None:
        """1.2 times as fast, 1.1 and 1.3 in the worst and the best round, of a theoretical 1.67."""
        of = claim(
            kind="speed", boards=["b"], entry={"method": "dvt", "share": 0.6}, at_least=bound, of_theory=of_theory
        )
        assert judge(of, Evidence(bench)).outcome == outcome


class TestOfFiles:
    ROWS = ({"name": "a", "gmacs": 1.0, "top1_pct": 80.0}, {"name": "b", "gmacs": 1.005, "top1_pct": 70.0})

    def table(self, **more: Any) -> Claim:
        return claim(kind="table", **({"file": "t", "row": "a", "against": ["b"]} | more))

    def test_a_row_is_held_against_each_of_others(self, project: Project) -> None:
        project.table(*self.ROWS, {"name": "c", "gmacs": 1.0, "top1_pct": 90.0})
        assert project.verdict(self.table(equal_cost=True)).outcome == "reproduced"
        assert project.verdict(self.table(against=["b", "c"])).outcome == "not reproduced"

    @pytest.mark.parametrize(
        ("of", "more", "outcome", "says"),
        [
            ({"against": ["z"]}, {}, "not measured yet", "no top1_pct of row 'z'"),
            ({"value": "robust_pct"}, {}, "not measured yet", "no robust_pct of row 'a'"),
            ({"share": 0.8}, {}, "not testable here", "costs 99.5 % of b here, and the claim is of 80 %"),
            ({}, {"validation_images": None}, "not measured yet", "of how many images"),
            ({"row": "z"}, {}, "not measured yet", "no top1_pct of row 'z'"),
            ({"exit": 3, "row": "exits", "against": ["exits"]}, {}, "not testable here", "2 exits"),
            ({"equal_cost": True, "against": ["far"]}, {}, "not testable here", "not within 1 % of each other"),
            ({"against": ["text"]}, {}, "not testable here", "'many' where a number is needed"),
            ({"against": ["high"]}, {}, "not testable here", "101 where a percentage is needed"),
            ({"against": ["free"]}, {}, "not testable here", "None where a number is needed"),
        ],
    )
    def test_a_row_that_cannot_tell_says_why(
        self, project: Project, of: Any, more: Any, outcome: str, says: str
    ) -> None:
        odd = ({"name": "exits", "gmacs": [1, 2], "top1_pct": [3, 4]}, {"name": "far", "gmacs": 2.0, "top1_pct": 1.0})
        odd += ({"name": "text", "gmacs": 1.0, "top1_pct": "many"}, {"name": "high", "gmacs": 1, "top1_pct": 101})
        project.table(*self.ROWS, *odd, {"name": "free", "top1_pct": 1.0}, **more)
        [finding] = project.verdict(self.table(**of)).findings
        assert finding.outcome == outcome
        assert says in finding.because

    @pytest.mark.parametrize(
        ("rows", "outcome"),
        [
            ("exit_1,exit_2\n0.9,0.1\n0.2,0.8\n", "reproduced"),
            ("exit_1,exit_2\n0.2,0.8\n0.1,0.9\n", "not reproduced"),
            ("exit_1,exit_2\n0.9,0.1\n", "not testable here"),
        ],
    )
    def test_exit_shares_move_with_the_budget_or_they_do_not(self, project: Project, rows: str, outcome: str) -> None:
        (project.root / "docs" / "results" / "t.csv").write_text(rows)
        assert project.verdict(claim(kind="exit shares", file="t")).outcome == outcome

    @pytest.mark.parametrize(
        ("rows", "tokens_most", "deep_most"),
        [
            ("0,0.1,0.2\n0.1,0.2,0.6", "reproduced", "reproduced"),
            ("0.9,0.1,0.2\n0.1,,", "not testable here", "not testable here"),
            ("0.5,0.1,0.2\n0.1,0.2,0.6", "not reproduced", "not reproduced"),
        ],
    )
    def test_skip_ratios_say_what_is_skipped_most_and_where(
        self, project: Project, rows: str, tokens_most: str, deep_most: str
    ) -> None:
        (project.root / "docs" / "results" / "t.csv").write_text(f"depth,heads,tokens\n{rows}\n")
        asked = [claim(kind="skip ratios", file="t", says=says) for says in ("tokens most", "deep blocks most")]
        assert [project.verdict(one).outcome for one in asked] == [tokens_most, deep_most]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            *(("t.json", text) for text in ("[]", "{", '{"rows": 3}', '{"rows": [3]}', '{"rows": [], "training": 3}')),
            *(("t.json", f'{{"rows": [], "validation_images": {n}}}') for n in ("0", "true", "1e999")),
            *(("t.csv", f"depth\n{cell}\n") for cell in ("many", "nan", "1,2,3")),
        ],
    )
    def test_a_result_file_that_is_none_is_one_line(self, project: Project, name: str, text: str) -> None:
        (project.root / "docs" / "results" / name).write_text(text)
        of = self.table() if name == "t.json" else claim(kind="skip ratios", file="t", says="tokens most")
        with pytest.raises(InputError, match=re.escape(name)):
            project.verdict(of)


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_unpaired_interval_holds_its_difference_and_turns_with_it(first: int, second: int) -> None:
    one, other = of_shares(first, 500, second, 500), of_shares(second, 500, first, 500)
    assert one.low <= one.points <= one.high
    assert (one.low, one.high, one.p) == pytest.approx((-other.high, -other.low, other.p))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("kind: robust", "kind: robsut"), "claims.0.test"),
        (("share: 0.739", "share: -1"), "share"),
        (("share: 0.739", "share: 0.7, times: 0.5"), "not both share and times"),
        (("{method: mia, share: 0.739}", "{method: mia}"), "name a share, times or knobs"),
        (("boards: [cifar10, cifar10-0.7, imagenette]", "boards: [cifar100]"), "'cifar100', of which no command"),
        (("file: mia_dimensions", "file: mia_sizes"), "'mia_sizes', of which no command"),
        (("id: mia-fgsm", "id: mia-pgd"), "'mia-pgd' stands twice"),
        (("against: {method: dynamicvit, share: 0.648}", "against: {method: dynamicvit, times: 0.9}"), "against.times"),
        (
            ("entry: {method: tome, share: 0.587}, of_theory", "entry: {method: tome, times: 0.6}, of_theory"),
            "entry.times",
        ),
        (("id: mia-fgsm", "id: mia fgsm"), "claims.1.id"),
        (("claimed: +2.4 points at 26.1 % fewer FLOPs\n", "claimed: 2026-01-01\n"), "date"),
        (("    setting:", "    on:"), "claims.0"),
        (("claims:\n", "claim:\n"), "claims"),
    ],
)
def test_claims_that_are_none_are_refused_in_one_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in YAML
    (tmp_path / "claims.yaml").write_text(YAML.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_claims(tmp_path)
    assert "claims.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_writes_the_page_and_tells_an_old_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "claims" in capsys.readouterr().err
    (tmp_path / "leaderboards").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "leaderboards" / "claims.yaml", tmp_path / "leaderboards")
    assert main([str(tmp_path), "--check"]) == 1
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    assert main(["--chekc"]) == 2
