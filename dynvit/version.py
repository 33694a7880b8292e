"""The one place where the version stands; importing it loads nothing else."""

__version__ = "0.1.0"
