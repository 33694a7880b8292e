"""The bench itself: arms, ladders, measurements, the published front."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState

from dynvit.backbones.build import build
from dynvit.backbones.dense import dense_macs
from dynvit.bench.config import BenchConfig
from dynvit.bench.folder import check_folder, claim_folder
from dynvit.bench.points import LadderPlan, only_point, open_calibration
from dynvit.bench.prepare import Preparation, prepare
from dynvit.data import open_split
from dynvit.data.corruptions.loading import Variant
from dynvit.data.source import ImageSource
from dynvit.environment import capture
from dynvit.errors import InputError
from dynvit.interface import OperatingPoint
from dynvit.leaderboard.board import Leaderboard
from dynvit.leaderboard.build import build as build_board
from dynvit.leaderboard.follow_up import ROBUSTNESS, RUNS, SPEED, RobustnessStore, SpeedStore, read_run
from dynvit.leaderboard.per_sample import read_per_sample
from dynvit.leaderboard.pictures import write_pictures
from dynvit.leaderboard.store import RunStore
from dynvit.measurements.accuracy.measure import Measurer, Target
from dynvit.measurements.accuracy.record import Context
from dynvit.measurements.corruption.measure import CorruptedImages, CorruptionRun, CorruptionSettings
from dynvit.measurements.robustness.masking import with_findings
from dynvit.measurements.robustness.measure import attack_points, attacker_of
from dynvit.measurements.robustness.specs import search_trial
from dynvit.measurements.robustness.tasks import Subject
from dynvit.measurements.speed.measure import PointToTime, SpeedMeter, SpeedRun, check_speed, device_model, spread
from dynvit.processes import find_device, process_state
from dynvit.progress import Progress
from dynvit.search import Objectives, climb, search
from dynvit.session.open_model import OpenModel
from dynvit.units import GIGA

BOARD = "leaderboard.json"


@dataclass(frozen=True)
class Bench:
    """A bench that is ready to run: everything that a person could have got wrong has been checked.

    ``command`` is what the records say made them; ``point`` the one to measure, in place of a sweep. Units:
    ``dense_macs`` MACs of an image by the configured rule.
    """

    config: BenchConfig
    command: str
    folder: Path
    source: ImageSource
    preparation: Preparation
    dense_macs: int
    corrupted: CorruptedImages | None = None
    point: OperatingPoint | None = None

    @classmethod
    def plan(cls, config: BenchConfig, command: str, point: OperatingPoint | None = None) -> Bench:
        """Check the configuration, the data and the folder; nothing is written.

        Raises: ``InputError`` for whatever is wrong with them.
        """
        source = open_split(
            config.dataset,
            config.split,
            data_dir=config.data_dir,
            seed=config.seed,
            calibration=config.calibration,
            on_bad_sample=config.on_bad_sample,
            limit=config.limit,
        )
        if len(source) == 0:
            raise InputError(f"split {config.split!r} of {config.dataset} has no sample: pack or fetch it again")
        preparation = prepare(config, source.spec)
        if config.speed:
            check_speed(config.speed_settings, find_device(config.device))
        check_folder(config.folder, config.identity())
        dense = dense_macs(build(replace(preparation.backbone, weights=None)), config.rule)
        corrupted = CorruptedImages.open(_corruption_settings(config), source) if config.corrupts else None
        return cls(config, command, config.folder, source, preparation, dense, corrupted, point)

    def run(self) -> Leaderboard:
        """Train what needs training, sweep every arm, publish. Continues what a killed run began."""
        state = process_state(self.config.device)
        if state.is_main_process:
            claim_folder(self.folder, self.config.identity())
        state.wait_for_everyone()
        arms = self.preparation.arms(self.folder, self.command)
        store = RunStore(self.folder / RUNS)
        if state.is_main_process:
            with store:
                measured = self._sweep(arms, store, state)
                state.wait_for_everyone()  # what the others read is on the disk
                if self.config.speed:
                    self._time(measured, state.device)
                return self._publish(store)
        self._sweep(arms, store, state)
        state.wait_for_everyone()
        return self._board(store)

    def _sweep(self, arms: Sequence[OpenModel], store: RunStore, state: PartialState) -> list[PointToTime]:
        """Measure what is missing; returns the points that there are, a few of each arm where they are to be timed."""
        context = Context(
            role="report",
            dataset=self.config.dataset,
            split=self.config.split,
            manifest_sha256=self.source.manifest.sha256,
            n_expected=self.source.expected,
            limit=self.config.limit,
            rule=self.config.rule,
            dense_gmacs=self.dense_macs / GIGA,
            data_seed=self.config.seed,
            search_seed=None,
            environment=capture(_device_name(state.device), state.num_processes),
            command=self.command,
            git_sha=_git_sha(),
        )
        measurer = self._measurer(self.source, context, store, state)
        for arm in arms:
            arm.model.eval().to(state.device)
        if self.point is not None:
            plan: Mapping[str, list[Target]] = {arm.label: [Target(self.point)] for arm in arms}
        elif self.config.sampler == "ladder":
            plan = LadderPlan(self.config, state.device).points(arms)
        else:
            plan = {arm.label: self._search(arm, context, store, state) for arm in arms}
        todo = sum(len(measurer.missing(arm, plan[arm.label])) * measurer.images(arm) for arm in arms)
        with Progress("sweep", todo, quiet=not state.is_main_process) as progress:
            for arm in arms:
                targets = plan[arm.label]
                measurer.measure(arm, targets, progress)
                if self.config.sampler == "ladder":
                    climb(arm.knobs, [target.point for target in targets], partial(_worth, measurer, arm))
        if self.config.robustness:
            attack_points(self.config, self.folder, arms, plan, measurer)
        if self.corrupted is not None:
            measurer.forget_pixels()
            points = [(arm, target.point) for arm in arms for target in plan[arm.label]]
            run = CorruptionRun(self.corrupted, context, RobustnessStore(self.folder / ROBUSTNESS), state)
            run.run(points, say=partial(print, file=sys.stderr, flush=True))
        return [
            PointToTime(arm, point, context.record_id(arm, point))
            for arm in arms
            for point in spread(list(dict.fromkeys(t.point for t in plan[arm.label])), self.config.speed_points)
        ]

    def _time(self, points: Sequence[PointToTime], device: torch.device) -> None:
        """Time the points beside the dense backbone; what is written already is not timed again."""
        meter = SpeedMeter(
            source=self.source,
            settings=self.config.speed_settings,
            backbone=build(replace(self.preparation.backbone, weights=None)),
            dense_macs=self.dense_macs,
            rule=self.config.rule,
            device=device,
            device_name=device_model(device),
        )
        with SpeedStore(self.folder / SPEED) as store:
            SpeedRun(meter, store, capture(_device_name(device)), self.command, _git_sha()).run(points)

    def _search(self, arm: OpenModel, context: Context, store: RunStore, state: PartialState) -> list[Target]:
        """Points that a sampler found on the calibration split; what it saw there is recorded too."""
        if not arm.knobs:
            return [only_point(arm)]
        assert self.config.sampler != "ladder"
        source = open_calibration(self.config)
        seen = replace(
            context,
            role="search",
            split="calibration",
            manifest_sha256=source.manifest.sha256,
            n_expected=source.expected,
            limit=None,
            search_seed=self.config.seed,
        )
        measurer = self._measurer(source, seen, store, state)
        total = self.config.trials * measurer.images(arm)
        robust = self.config.searches_robustness
        with (
            Progress(f"search {arm.label}", total, quiet=not state.is_main_process) as progress,
            attacker_of(self.config, self.folder, measurer) if robust else nullcontext() as attacker,
        ):

            def measure(point: OperatingPoint) -> Objectives:
                measurer.measure(arm, [Target(point)], progress)
                worth = _worth(measurer, arm, point)
                if attacker is None:
                    return worth
                subject = Subject(arm, point, measurer.record(arm, point))
                return replace(worth, robust_pct=attacker.robust_pct(subject, search_trial(self.config.attacks())))

            points = search(
                arm.knobs, self.config.sampler, self.config.trials, self.config.seed, measure, robust=robust
            )
        return [Target(point) for point in points]

    def _measurer(self, source: ImageSource, context: Context, store: RunStore, state: PartialState) -> Measurer:
        config = self.config
        measurer = Measurer(source, context, store, state, config.batch_size, config.workers, config.memory_mb)
        measurer.load_known()
        return measurer

    def _publish(self, store: RunStore) -> Leaderboard:
        board = self._board(store)
        board.write(self.folder / BOARD)
        write_pictures(board, self.folder)
        return board

    def _board(self, store: RunStore) -> Leaderboard:
        records = with_findings(read_run(store.path))
        return build_board(records, command=self.command, answers=read_per_sample(store.path))


def _corruption_settings(config: BenchConfig) -> CorruptionSettings:
    return CorruptionSettings(
        variants=tuple(Variant(name, severity) for name in config.corrupts for severity in config.severities),
        limit=config.corruptions_limit,
        folder=Path(config.corrupted_dir) if config.corrupted_dir else None,
        seed=config.seed,
        batch_size=config.batch_size,
        workers=config.workers,
        memory_mb=config.memory_mb,
    )


def _worth(measurer: Measurer, arm: OpenModel, point: OperatingPoint) -> Objectives:
    record = measurer.record(arm, point)
    return Objectives(record.accuracy.top1_pct, record.compute.gmacs_mean)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _git_sha() -> str | None:
    """The commit of the checkout that runs; None for an installed package, or a checkout with changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        return None if _git(root, "status", "--porcelain", "--untracked-files=no") else _git(root, "rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
