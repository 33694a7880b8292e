"""Small whole inputs of every kind that is read, and who reads each."""

from __future__ import annotations

import pickle
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dynvit.cli import main
from dynvit.data.packing import pack

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Reader:
    """Who reads a folder, and which of its files are damaged.

    ``read`` is a command line with ``IN`` for the folder, ``GOOD`` for the inputs and ``OUT`` for what is made, or
    a function of the folder that prints what it has read. ``exact``: any other number than that of the whole input is a
    fault, where nothing is said.
    """

    name: str
    folder: str
    files: Sequence[str]
    read: str | Callable[[Path], Any]
    exact: bool = True


def make(into: Path) -> None:
    """Every input, in folders below ``into``."""
    _images(into / "tree")
    shutil.copytree(into / "tree", into / "image")
    pack(into / "tree", into / "shards", quiet=True)
    _labels(into / "labels")
    _cifar(into / "cifar")
    with tarfile.open(_folder(into / "archive") / "tree.tar", "w") as tar:
        tar.add(into / "tree", "tree")
    small = "--epochs 1 --limit-train 16 --batch-size 8"
    _call(f"train --method dense --dataset digits --backbone vit_digits {small} -o {into}/checkpoint")
    measured = "--points 2 --limit 20 --robustness fgsm --eps 4/255 --corruptions contrast --severities 1"
    speed = "--speed --speed-batches 1 --speed-rounds 1"
    methods = f"bench --methods dense,topk --weights {into}/checkpoint"
    _call(f"{methods} {measured} --corruptions-limit 20 {speed} -o {into}/run")
    shutil.copytree(ROOT / "tests" / "frozen_v1", into / "old")
    (_folder(into / "suite") / "suite.yaml").write_text(
        f"methods: [dense, topk]\npoints: 2\nlimit: 20\nweights: {into}/checkpoint\nbudgets: [0.001, 0.0015]\n"
        "robustness: [fgsm]\neps: [4/255]\nspeed: {batches: [1, 2]}\n"
    )
    (_folder(into / "plugin") / "mine.py").write_text(
        "from dynvit.interface import register_method\nfrom dynvit_methods.dense import Dense\n\n\n"
        "@register_method('mine')\nclass Mine(Dense):\n    static = False\n    summary = 'ours'\n"
    )
    _state(_folder(into / "state") / "state.pt")
    _corrupted(into / "corrupted")
    shutil.copy(ROOT / "leaderboards" / "papers" / "levit.yaml", _folder(into / "papers"))
    shutil.copy(ROOT / "leaderboards" / "claims.yaml", _folder(into / "claims"))


def _call(words: str) -> None:
    assert main(words.split()) == 0, words


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def _images(folder: Path) -> None:
    for split, each in (("train", 6), ("val", 3)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(each):
                kind = ("png", "jpg", "webp")[number % 3]
                _picture(100 * label + number).save(_folder(folder / split / name) / f"{split}{number}.{kind}")


def _labels(folder: Path) -> None:
    for number in range(8):
        _picture(number).save(_folder(folder / "images") / f"i{number}.png")
    rows = [f"i{number}.png,{number % 2},{'train' if number < 5 else 'validation'}" for number in range(8)]
    (folder / "labels.csv").write_text("\n".join(["file,label,split", *rows]) + "\n")


def _cifar(folder: Path) -> None:
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data = np.random.default_rng(len(name)).integers(0, 256, (10, 3072), dtype=np.uint8)
        files = [f"{name}_{number}.png".encode() for number in range(10)]
        body = {b"data": data, b"labels": list(range(10)), b"filenames": files, b"batch_label": name.encode()}
        (_folder(folder) / name).write_bytes(pickle.dumps(body))
    names = [
        name.encode()
        for name in ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    ]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))


def _state(path: Path) -> None:
    from dynvit.training.state import State

    tensors = {"weight": torch.arange(6.0).reshape(2, 3)}
    State(stage=0, epochs_done=1, steps_done=2, ended=False, model=tensors, optimizer={"state": {}}).write(path)


def _corrupted(folder: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        for number in range(3):
            _picture(label + number).save(_folder(folder / "contrast" / "1" / name) / f"{name}{number}.png")


def _said(*values: Any) -> None:
    print(*values)


def read_checkpoint(folder: Path) -> None:
    """Load it, and answer for one image."""
    import dynvit

    answer = dynvit.load(folder)(torch.full((3, 8, 8), 0.5))
    _said(f"{answer.index} {answer.probability:.6f} {answer.gmacs:.6g}")


def read_weights(folder: Path) -> None:
    """A backbone's weights."""
    import dynvit

    answer = dynvit.load("dense", backbone="vit_digits", weights=folder / "model.safetensors")(torch.zeros(3, 8, 8))
    _said(f"{answer.index} {answer.probability:.6f}")


def read_state(folder: Path) -> None:
    """Where a training stands."""
    from dynvit.training.state import State

    state = State.read(folder / "state.pt")
    _said(*(() if state is None else (state.epochs_done, state.model["weight"].flatten().tolist())))


def read_split(folder: Path) -> None:
    """Every image and label of a split."""
    from dynvit.data.opening import open_split
    from dynvit.session.dataset import find_dataset

    source = open_split(find_dataset(str(folder)), "validation", quiet=True)
    for place in range(len(source)):
        example = source.read(place)
        _said(example.label, int(np.asarray(example.image, dtype=np.int64).sum()))


def read_images(folder: Path) -> None:
    """The images as explain reads them."""
    from dynvit.data.images import read_image

    for path in sorted((folder / "val" / "cat").iterdir()):
        _said(read_image(path).size)


def read_paper_rows(folder: Path) -> None:
    """Papers' rows."""
    from dynvit.leaderboard.papers import read_papers

    _said(*(row.label for paper in read_papers(folder) for row in paper.rows))


def read_all_claims(folder: Path) -> None:
    """What papers claim."""
    from dynvit.report.claims import read_claims

    _said(*(claim.id for claim in read_claims(folder).claims))


RUN_FILES = ("runs.jsonl", "per_sample.jsonl", "robustness.jsonl", "corruption.jsonl", "speed.jsonl")
BOARD = "leaderboard.json"
_GO_ON = "bench --dry-run --methods dense,topk --weights GOOD/checkpoint --points 2 --limit 20 -o IN"
_SMALL = "--epochs 1 --limit-train 16 --batch-size 8"
_TRAINED = f"train --method dense --dataset digits --backbone vit_digits {_SMALL} --resume -o IN"
_CORRUPTED = (
    "bench --dry-run --methods dense --train --dataset GOOD/shards --backbone vit_cifar --corrupted-dir IN "
    "--corruptions contrast --severities 1 -o OUT"
)
READERS: tuple[Reader, ...] = (
    Reader("show a run", "run", RUN_FILES, "show IN"),
    Reader("validate a run", "run", (*RUN_FILES, BOARD), "validate IN", exact=False),
    Reader("compare", "run", ("runs.jsonl", "per_sample.jsonl"), "compare IN"),
    Reader("go on with a run", "run", ("bench.json",), _GO_ON, exact=False),
    Reader("show a board", "run", (BOARD,), f"show IN/{BOARD}"),
    Reader("show a board of version 1", "old", (BOARD,), f"show IN/{BOARD}"),
    Reader("convert", "old", (BOARD,), f"convert IN/{BOARD}", exact=False),
    Reader("show a run of version 1", "old", ("runs.jsonl", "robustness.jsonl", "speed.jsonl"), "show IN"),
    Reader("suite", "suite", ("suite.yaml",), "bench -C IN/suite.yaml --dry-run", exact=False),
    Reader("checkpoint", "checkpoint", ("config.json", "model.safetensors"), read_checkpoint),
    Reader("weights", "checkpoint", ("model.safetensors",), read_weights, exact=False),
    Reader("a training's folder", "checkpoint", ("request.json", "config.json"), _TRAINED, exact=False),
    Reader("training state", "state", ("state.pt",), read_state),
    Reader("split", "shards", ("*",), read_split),
    Reader("data check", "shards", ("*",), "data check IN", exact=False),
    Reader("pack labels", "labels", ("labels.csv", "images/*"), "data pack IN OUT", exact=False),
    Reader("pack CIFAR", "cifar", ("*",), "data pack IN OUT", exact=False),
    Reader("pack class folders", "tree", ("*/*/*",), "data pack IN OUT", exact=False),
    Reader("pack an archive", "archive", ("tree.tar",), "data pack IN/tree.tar OUT", exact=False),
    Reader("images", "image", ("val/cat/*",), read_images, exact=False),
    Reader("plug-in", "plugin", ("mine.py",), "ls methods --plugin IN/mine.py", exact=False),
    Reader("papers", "papers", ("levit.yaml",), read_paper_rows, exact=False),
    Reader("claims", "claims", ("claims.yaml",), read_all_claims, exact=False),
    Reader("corrupted images", "corrupted", ("*/*/*/*",), _CORRUPTED, exact=False),
)
"""What cannot be known of numbers by themselves (weights, pixels of a JPEG, a packed source) is not ``exact``."""
