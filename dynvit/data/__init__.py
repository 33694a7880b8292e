"""Images in shards: found, counted, and yielded exactly once.

``open_split`` is the entry point; its result says how many samples there should be (``expected``) and which
(``manifest.sha256``). Nothing here imports torch until a loader is made.
"""

from __future__ import annotations

from dynvit.data.datasets import DatasetSpec, datasets
from dynvit.data.folder_dataset import find_dataset
from dynvit.data.manifest import Manifest, Sample
from dynvit.data.opening import open_split, split_names
from dynvit.data.source import BadSampleError, Example, ImageSource, OnBadSample

__all__ = [
    "BadSampleError",
    "DatasetSpec",
    "Example",
    "ImageSource",
    "Manifest",
    "OnBadSample",
    "Sample",
    "datasets",
    "find_dataset",
    "open_split",
    "split_names",
]
