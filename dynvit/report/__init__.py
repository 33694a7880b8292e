"""From the files of a run to a board, its tables and its pictures, over all measurements that are registered."""

from dynvit.report.boards import Board
from dynvit.report.build import build as build_board
from dynvit.report.found import trusted_board as read_board
from dynvit.report.pictures import write_pictures
from dynvit.report.printing import print_board
from dynvit.report.run_data import RunData, read_run

__all__ = ["Board", "RunData", "build_board", "print_board", "read_board", "read_run", "write_pictures"]
