"""Rows that were attacked or corrupted on other images, or by other attacks, say so, and are not compared."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from dynvit.leaderboard.contradiction import Contradiction
from dynvit.leaderboard.per_sample import pack
from dynvit.leaderboard.record import Record
from dynvit.measurements.corruption.measurement import Corruption
from dynvit.measurements.corruption.result import CorruptionResult
from dynvit.measurements.corruption.summary import ALEXNET_ERROR
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.result import RobustnessResult
from dynvit.measurements.robustness.summary import RobustnessOverview
from dynvit.report import Board, RunData, build_board
from dynvit.report.rederive import of_board

MANY, FEW = "0" * 16, "f" * 16


def attacked(n: int, images: str, left: int, **other: Any) -> RobustnessResult:
    right = np.arange(n) < left
    fields = {"eps": 0.02, "attack": "fgsm", "settings": {}, "variant": "adaptive"} | other
    return RobustnessResult(
        threat="white-box", norm="linf", adaptive=True, n=n, accuracy_pct=100 * left / n, gmacs_mean=0.8,
        criterion="misclassify", clean_accuracy_pct=100.0, clean_gmacs_mean=0.8, images=images, right=pack(right),
        **fields,
    )  # fmt: skip


def corrupted(name: str, severities: Sequence[int], n: int, images: str) -> list[CorruptionResult]:
    return [
        CorruptionResult(
            corruption=name, severity=severity, source="generated", settings={}, n=n, accuracy_pct=50.0,
            gmacs_mean=0.8, clean_accuracy_pct=75.0, clean_gmacs_mean=0.8, images=images,
            right=pack(np.arange(n) < n // 2),
        )
        for severity in severities
    ]  # fmt: skip


@pytest.fixture
def points(measure) -> list[Record]:
    return [measure(gmacs=gmacs, correct=correct) for gmacs, correct in ((0.5, 3000), (0.7, 3500), (0.9, 4000))]


def board_of(name: str, points: Sequence[Record], results: Sequence[list[Any]]) -> Board:
    found = {record.record_id: own for record, own in zip(points, results, strict=True)}
    return build_board(RunData(points, {name: found}))


def faults_of(board: Board) -> list[Contradiction]:
    return list(of_board(board))


def printed(parts: Iterator[Any], width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    for part in parts:
        console.print(part)
    return " ".join(console.export_text().split())


def test_attacked_rows_say_their_images_and_the_front_is_of_the_same(points: list[Record]) -> None:
    board = board_of("robustness", points, [[attacked(32, MANY, 8)], [attacked(32, MANY, 16)], [attacked(8, FEW, 7)]])
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    [front] = overview.fronts
    assert (set(front.front), front.n_entries) == ({point.record_id for point in points[:2]}, 2)
    text = printed(Robustness.tables(board))
    assert "under attack · L∞ method point images GMACs" in text
    [row] = [line for line in text.split("topk") if "87.5" in line]
    assert " 8 " in row
    assert "●" not in row.partition(" robust accuracy ")[0]
    [note] = Robustness.notes(board)
    assert "on 2 sets of images, and cannot be compared" in note
    assert Robustness.figure(board) is not None


def test_as_many_other_images_are_another_set(points: list[Record]) -> None:
    board = board_of("robustness", points, [[attacked(8, MANY, 4)], [attacked(8, MANY, 5)], [attacked(8, FEW, 7)]])
    text = printed(Robustness.tables(board))
    assert text.count("8 #1") == 2
    assert text.count("8 #2") == 1
    assert len(list(Robustness.notes(board))) == 1


def test_rows_of_the_same_images_are_as_before(points: list[Record]) -> None:
    board = board_of("robustness", points, [[attacked(8, MANY, left)] for left in (4, 5, 7)])
    assert "· 8 images" in printed(Robustness.tables(board))
    assert list(Robustness.notes(board)) == []
    assert "images" not in board.entries[0].measurements["robustness"]["accuracy"][0]  # type: ignore[index,call-overload,operator]


def accuracies(board: Board) -> list[Any]:
    return [entry.measurements["robustness"]["accuracy"] for entry in board.entries]


def test_rows_that_met_other_attacks_stand_on_no_front_together(points: list[Record]) -> None:
    fgsm, pgd = attacked(8, MANY, 6), attacked(8, MANY, 4, attack="pgd", settings={"steps": 20})
    board = board_of("robustness", points, [[fgsm], [pgd], [pgd]])
    overview = board.overview("robustness", RobustnessOverview)
    assert overview is not None
    [front] = overview.fronts
    assert (set(front.front), front.n_entries) == ({point.record_id for point in points[1:]}, 2)
    [note] = Robustness.notes(board)
    assert note.startswith("rows have met other attacks under linf (unlike in fgsm, pgd), and cannot be compared")
    assert Robustness.figure(board) is not None
    assert faults_of(board) == []


def test_other_settings_or_smaller_radii_are_other_attacks(points: list[Record]) -> None:
    fgsm, few, many = (
        attacked(8, MANY, 6),
        *(attacked(8, MANY, 4, attack="pgd", settings={"steps": k}) for k in (5, 20)),
    )
    board = board_of("robustness", points, [[fgsm, few], [fgsm, many], [fgsm, many, few]])
    [note] = Robustness.notes(board)
    assert "under linf (unlike in pgd; from 2 to 3 attempts), and" in note
    small = attacked(8, MANY, 8, eps=0.01)
    board = board_of("robustness", points, [[fgsm], [small, fgsm], [small, fgsm]])
    assert [note.split(", and")[0] for note in Robustness.notes(board)] == [
        "rows have met other attacks under linf (unlike in fgsm; from 1 to 2 attempts)"
    ]
    assert ["met" in ball for balls in accuracies(board) for ball in balls] == [True, False, True, False, True]


def test_a_restart_stands_in_for_a_variant(points: list[Record]) -> None:
    soft, again = (attacked(8, MANY, 4, **form) for form in ({"variant": "soft"}, {"restart": 1}))
    board = board_of("robustness", points, [[attacked(8, MANY, 6), other] for other in (soft, again, again)])
    assert list(Robustness.notes(board)) == []
    assert all("met" not in ball for balls in accuracies(board) for ball in balls)


def test_corrupted_rows_say_their_set(points: list[Record]) -> None:
    noise, fog = corrupted("gaussian_noise", (1, 5), 20, MANY), corrupted("fog", (3,), 8, FEW)
    board = board_of("corruption", points, [noise, noise, fog])
    text = printed(Corruption.tables(board), width=400)
    assert "1: gaussian_noise, severities 1, 5, generated, 20 images (0000)" in text
    assert "2: fog, severities 3, generated, 8 images (ffff)" in text
    [note] = Corruption.notes(board)
    assert "under 2 sets of corruptions, severities and images, and cannot be compared" in note
    assert Corruption.figure(board) is not None


def test_corrupted_rows_of_one_set_are_as_before(points: list[Record]) -> None:
    board = board_of("corruption", points, [corrupted("fog", (3,), 8, FEW)] * 3)
    assert "1 corruptions, generated, mean over severities · clean: the same 8 images" in printed(
        Corruption.tables(board)
    )
    assert list(Corruption.notes(board)) == []
    assert "images" not in board.entries[0].measurements["corruption"]


@pytest.mark.parametrize(("n", "published"), [(50_000, True), (1_000, False)])
def test_an_mce_of_a_part_of_imagenet_c_stands_beside_no_published_one(
    points: list[Record], n: int, published: bool
) -> None:
    results = [
        result.model_copy(update={"source": "pre-computed set"})
        for name in ALEXNET_ERROR
        for result in corrupted(name, (1, 2, 3, 4, 5), n, MANY)
    ]
    board = board_of("corruption", points[:1], [results])
    [summary] = Corruption.of(board).values()
    assert (summary.mce_published, len(summary.mce_over)) == (published, 15)
    caption = "mCE over 15 corruptions of a part of ImageNet-C: not to stand beside published ones"
    assert (caption in printed(Corruption.tables(board))) is not published
    assert faults_of(board) == []
    said = {"corruption": summary.model_copy(update={"mce_published": not published}).model_dump(mode="json")}
    wrong = board.model_copy(update={"entries": (board.entries[0].model_copy(update={"measurements": said}),)})
    assert [fault.at for fault in faults_of(wrong)] == ["entries.0.measurements.corruption.mce_published"]
