"""From the files of a run to a board, its tables and its pictures, over all measurements that are registered."""
