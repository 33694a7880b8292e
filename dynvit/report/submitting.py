"""What a run needs before others may see it, and what a pull request says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.errors import InputError
from dynvit.files import write_whole
from dynvit.leaderboard.board import Setting
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.leaderboard.place import BOARD
from dynvit.leaderboard.record import Record
from dynvit.report.boards import Board, read_board
from dynvit.report.build import difference, group
from dynvit.report.found import checked
from dynvit.report.merging import Merged, merge
from dynvit.report.run_data import RunData, read_run

TEXT = "pull_request.md"


@dataclass(frozen=True)
class Submission:
    """What was sent in. ``file`` is the board; ``text`` what a pull request says."""

    file: Path
    merged: Merged
    text: str


def submit(folder: Path, boards: Path, name: str | None = None, *, write: bool = True) -> Submission:
    """Check a bench's folder, join it into the board of its setting, and say what a pull request needs.

    Args:
        folder: a bench's output, finished.
        boards: the folder of published boards.
        name: of the board; None: the one of this setting, else DATASET-BACKBONE.
        write: whether to; else nothing is changed.

    Raises: ``InputError`` for everything that keeps the run from being published, with the file and the field.
    """
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder of a bench: give what dynvit bench wrote into")
    if not (folder / BOARD).is_file():
        raise InputError(f"{folder} has no {BOARD}: run `dynvit bench` to its end first")
    for _ in checked(folder):
        pass
    run = read_run(folder)
    setting = _setting(run)
    reported = [record for record in run.records if record.role == "report"]
    for lacking in _lacking(folder, reported, run):
        raise InputError(lacking)
    file = boards / f"{name}.json" if name else _board_of(boards, setting)
    if file.is_file() and (there := read_board(file).setting) != setting:
        raise InputError(f"board {file}: one front cannot hold {difference([there, setting])}: give another --board")
    merged = merge([folder], file, reporting=True, write=write)
    text = "\n".join(_text(file, merged, reported)) + "\n"
    if write:
        write_whole(folder / TEXT, text.encode())
    return Submission(file, merged, text)


def _setting(run: RunData) -> Setting:
    groups = group(run.records)
    if not groups:
        raise InputError("no record reports a point: run `dynvit bench` to its end first")
    if len(groups) > 1:
        raise InputError(f"one front cannot hold {difference(list(groups))}: send each in by itself")
    return next(iter(groups))


def _lacking(folder: Path, records: Sequence[Record], run: RunData) -> Iterator[str]:
    """What a published record must have, and one has not."""
    for record in records:
        at = f"{folder} record {record.record_id}"
        if record.record_id not in run.per_sample:
            yield f"{at}: per-sample results must lie in per_sample.jsonl, there are none: run the bench again"
        if record.training is None:
            yield f"{at}: training must say how its weights came about, got null: measure it with today's dynvit"
        if not record.method.distribution or not record.method.version:
            yield (
                f"{at}: method must name its package and version, or its file and the hash of its contents, got "
                f"{record.method.distribution!r} and {record.method.version!r}: register it in a file or a package"
            )


def _board_of(boards: Path, setting: Setting) -> Path:
    """The published board of this setting, else a new one."""
    for file in sorted(boards.glob("*.json")):
        if read_board(file).setting == setting:
            return file
    name = f"{setting.dataset}-{setting.backbone}"
    taken = (f"{name}{number}" for number in ("", *(f"-{k}" for k in range(2, 10_000))))
    return next(boards / f"{one}.json" for one in taken if not (boards / f"{one}.json").exists())


def _text(file: Path, merged: Merged, records: Sequence[Record]) -> Iterator[str]:
    board, new = merged.board, set(merged.added)
    setting = board.setting
    yield f"# {file.name}: {len(new)} new of {len(board.entries)} entries"
    yield ""
    yield (
        f"{setting.dataset} {setting.split}, {setting.n:,} images, {setting.backbone} at {setting.image_size[0]} "
        f"pixels, rule {setting.rule}, division {board.division or 'not known'}."
    )
    yield from (
        "",
        "## Entries",
        "",
        "| id | method | point | GMACs | top-1 % | package |",
        "|---|---|---|---|---|---|",
    )
    yield from _rows(board, {record.record_id: record for record in records if record.record_id in new})
    yield from ("", "## How they were made", "", "```")
    yield from sorted({record.command for record in records})
    yield from ("```", "", "## Training", "")
    yield from _trainings(records)
    yield from ("", "## Files", "")
    yield from (f"- `{path.name}`" for path in merged.changed)
    yield from ("", "## Checked", "")
    yield "- `dynvit submit`: schema, digests, every derived number, per-sample results, training block, package."
    yield f"- Anybody may measure it again: `dynvit verify leaderboards/{file.name}`."


def _rows(board: Board, records: dict[str, Record]) -> Iterator[str]:
    ids, names = short_ids(entry.record_id for entry in board.entries), point_names(board)
    for entry in board.entries:
        record = records.get(entry.record_id)
        if record is not None:
            cells = (
                *(ids[entry.record_id], entry.method, names[entry.record_id], f"{entry.gmacs_mean:.4g}"),
                f"{entry.top1_pct:.2f} [{entry.top1_ci95_low_pct:.1f}, {entry.top1_ci95_high_pct:.1f}]",
                f"{record.method.distribution} {record.method.version}",
            )
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _trainings(records: Sequence[Record]) -> Iterator[str]:
    found: dict[str, None] = {}
    for record in records:
        assert record.training is not None
        said = record.training.model_dump(exclude_none=True, exclude={"wall_s"})
        weights = record.checkpoint.sha256 if record.checkpoint else record.backbone.weights_sha256
        facts = ", ".join(f"{name} {value}" for name, value in said.items())
        found[f"- {record.method.name} (weights {(weights or 'drawn')[:12]}): {facts}"] = None
    yield from found
