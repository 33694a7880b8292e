"""A whole bench by a launcher: its cells wherever they run, joined into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynvit.benchmark.cells import SEARCH, Cell, cells_of
from dynvit.benchmark.done import CELLS, folder_of_cell, is_done
from dynvit.benchmark.identity import claim_shared
from dynvit.benchmark.launching import Launched
from dynvit.benchmark.proposals import Proposals
from dynvit.benchmark.run import Bench
from dynvit.benchmark.versions import same_versions
from dynvit.errors import InputError
from dynvit.launchers.choosing import make_launcher
from dynvit.launchers.launcher import Job
from dynvit.progress import counted
from dynvit.report import Board, write_pictures
from dynvit.report.merging import merge


@dataclass(frozen=True)
class Engine:
    """Where cells run: a launcher by name, with dask's scheduler or sbatch's options."""

    name: str
    scheduler: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class LaunchedBench:
    """What came of a bench: its board, None where no cell gave one; why cells failed; who was left out for it."""

    board: Board | None
    failed: dict[str, str]
    left_out: tuple[str, ...]

    def fault(self) -> str | None:
        """The cells that are not done, for people; None where all are."""
        if not self.failed:
            return None
        waited = f"; {', '.join(self.left_out)} needed {'it' if len(self.failed) == 1 else 'them'}"
        why = "; ".join(f"{name}: {said}" for name, said in self.failed.items())
        return (
            f"{counted(len(self.failed), 'cell')} failed twice: {why}{waited if self.left_out else ''}; the same "
            "command tries them again and repeats nothing else"
        )


def launch_bench(bench: Bench, words: Sequence[str], engine: Engine) -> LaunchedBench:
    """Do every cell of a bench that is not done, and join what there is.

    Args:
        bench: as it was planned; its folder is seen by all machines.
        words: its command, as ``command_words`` has it.
        engine: where the cells run.

    Raises: ``InputError`` where the folder is another bench's, for a launcher that is not there, and for a storage
        that cannot be written.
    """
    if bench.config.storage is not None and bench.config.search_batch == 1:
        raise InputError(
            "--storage with a launcher needs trials that are cells: add --search-batch N, from 2; with 1 a search is "
            "one cell, and cells write into no storage"
        )
    copies = bench.searches.copies()
    claim_shared(bench.folder, bench.config, bench.session, bench.source)
    same_versions(bench)
    cells, place = cells_of(bench), bench.folder / CELLS
    here = str(Path.cwd())
    searched = {
        cell.label: Proposals(bench, cell.label, copies.get(cell.label)) for cell in cells if cell.kind == SEARCH
    }

    def job(cell: Cell) -> Job:
        if cell.kind == SEARCH:
            searched[cell.label].point(cell.trial or 0)  # asked for here, so that no two machines do
        log = place / f"{cell.folder}.log"
        return Job(cell.name, ("-m", *words, f"--cell={cell.name}"), here, str(log.absolute()))

    device = bench.config.device
    with make_launcher(engine.name, place / "slurm", engine.scheduler, engine.options, device) as launcher:
        launched = Launched(cells, job, launcher, {cell.name for cell in cells if is_done(bench, cell)})
        launched.run()
    measured = [cell for cell in cells if cell.measures and cell.kind != SEARCH and cell.name in launched.done]
    for label in {cell.label for cell in measured} & copies.keys():
        searched[label].finish()
    folders = [folder_of_cell(bench, cell) for cell in measured]
    board = merge(folders, bench.folder).board if folders else None
    if board is not None:
        write_pictures(board, bench.folder)
    return LaunchedBench(board, launched.failed, tuple(launched.left_out))


def check_whole(launcher: str | None, share: str | None, cell: str | None) -> None:
    """Raises: ``InputError`` where a launcher, which does all parts, is told to do one."""
    if launcher is not None and (share is not None or cell is not None):
        raise InputError(f"--launcher {launcher} does all cells: leave out {'--share' if share else '--cell'}")
