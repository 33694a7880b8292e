"""Wrong input gets one line: what is wrong, what is allowed, what to do; exit code 2, nothing written, nothing lost."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import safetensors.torch
import timm
import torch
from data_helpers import hashes, picture, put, write_dataset, write_shard
from fault_cases import BENCH, FAULTS, SHARDS, WEIGHTS, Fault

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.cli import main
from dynvit.data.manifest import INFO, SplitInfo, info_text
from dynvit.errors import InputError
from dynvit.files import locked
from dynvit.interface import methods
from dynvit.leaderboard.store import RunStore


class Bomb:
    """A pickle of it asks for a shell command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch exploded",)


def save_weights(path: Path, **shape: Any) -> Path:
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model("vit_digits", **shape).state_dict(), path)
    return path


# A dense model behind a gate that no gradient passes.
ROUNDED = """
import torch
from torch import nn
from dynvit.interface import methods, register_method
from dynvit.backbones.vit import PlainViT

Dense = methods.get("dense")

class Rounding(nn.Module):
    def forward(self, images):
        return (images > 0.5).float()

@register_method("rounded")
class Rounded(Dense):
    static = False
    def attach(self, backbone, options):
        model = super().attach(backbone, options)
        model.rounding, run = Rounding(), model.forward
        model.forward = lambda images, point: run(model.rounding(images), point)
        return model
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are whole, and files with one fault each."""
    folder = tmp_path_factory.mktemp("made")
    save_weights(folder / "good.safetensors")
    save_weights(folder / "wide.safetensors", embed_dim=24)
    save_weights(folder / "shallow.safetensors", depth=4)
    save_weights(folder / "classes.safetensors", num_classes=7)
    (folder / "bomb.pth").write_bytes(pickle.dumps({"model": Bomb()}))
    torch.save({"model": Bomb()}, folder / "bomb-in-a-zip.pth")
    (folder / "noise.safetensors").write_bytes(bytes(range(256)))
    (folder / "list.yaml").write_text("- points\n- 8\n")
    (folder / "broken.yaml").write_text("points: [8\n")
    (folder / "name.yaml").write_text("pionts: 8\n")
    (folder / "value.yaml").write_text("points: many\n")
    (folder / "switch.yaml").write_text("speed: 'no'\n")
    (folder / "attacks.yaml").write_text("robustness: true\n")
    (folder / "plugin.yaml").write_text("plugin: {a: b}\n")
    (folder / "half.json").write_text('{"schema_version": 1}')
    (folder / "rounded.py").write_text(ROUNDED)
    optuna.storages.RDBStorage(f"sqlite:///{folder}/studies.db").engine.dispose()
    (folder / "empty").mkdir()
    write_dataset(folder / "shards", {"train": 40, "validation": 12})
    write_dataset(folder / "owls", {"train": 40, "validation": 12})
    (folder / "owls" / "classnames.txt").write_text("owl\n" * 10)
    put(folder / "beside", "train/cat/1.png", "val/cat/1.png", "extra/cat/1.png")
    put(folder / "labels", "images/1.png", "images/2.png")
    (folder / "labels" / "labels.csv").write_text("file,label\n1.png,0\n2.png,cat\n")
    train = ("--method", "dynamicvit", "--dataset", "digits", "--backbone", "vit_digits")
    small = ("--epochs", "1", "--limit-train", "16", "--batch-size", "8")
    assert main(["train", *train, *small, "-o", str(folder / "trained")]) == 0
    shutil.copytree(folder / "trained", folder / "half-copied")
    (folder / "half-copied" / "model.safetensors").unlink()
    return folder


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, with no data set to be found; what was made is as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DYNVIT_DATA", raising=False)
    before = hashes(made)
    yield
    assert hashes(made) == before


def refused(command: str, made: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refusal is."""
    words = [word.replace("MADE", str(made)) for word in command.split()]
    capsys.readouterr()
    code = main(words)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, ""), captured.err
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("dynvit: error: ")
    return captured.err


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_line_says_what_is_wrong_and_what_is_allowed(
    fault: Fault, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(fault.command, made, capsys)
    for part in fault.says:
        assert part in line
    assert written(tmp_path) == []


def test_a_folder_of_another_configuration_is_left_as_it_is(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--weights", str(made / "good.safetensors")]
    assert main(["bench", "--methods", "dense", "--limit", "20", "-o", "out", *weights]) == 0
    before = hashes(tmp_path / "out")
    line = refused(f"{WEIGHTS} --methods dense --limit 30", made, capsys)
    for part in ("limit = 20", "30", "--output", "--fresh"):
        assert part in line
    assert hashes(tmp_path / "out") == before


def test_a_folder_of_something_else_is_left_as_it_is(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert "something else" in refused(WEIGHTS, made, capsys)
    assert written(tmp_path / "out") == ["thesis.tex"]


SMALL = "train --method dense --dataset digits --backbone vit_digits --epochs 1 --limit-train 16 --batch-size 8 -o out"


@pytest.mark.parametrize("command", [SMALL, f"{WEIGHTS} --methods dense"], ids=["train", "bench"])
def test_a_folder_that_another_process_writes_is_refused_and_named(
    command: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "out"):
        line = refused(command, made, capsys)
        assert f"process {os.getpid()} on " in line
        assert "is writing out: wait for it" in line
    (tmp_path / "out" / ".lock").write_text("process 1 on another\n")  # as a kill leaves it
    assert main(command.replace("MADE", str(made)).split()) == 0
    assert ".lock" not in written(tmp_path / "out")


BREAKS = {
    "attach": "def attach(self, backbone, options): sys.exit(0)",
    "predict": "def attach(self, backbone, options):\n"
    "        model = super().attach(backbone, options)\n"
    "        model.predict = lambda images, point: sys.exit(0)\n"
    "        return model",
    "forward": "def attach(self, backbone, options):\n"
    "        model = super().attach(backbone, options)\n"
    "        model.predict = lambda images, point: 1 / 0\n"
    "        return model",
    "knobs": "def knobs(self, options): return {}['none']",
    "options": "Options = 3",
    "no model": "def attach(self, backbone, options): return backbone",
    "no prediction": "def attach(self, backbone, options):\n"
    "        model = super().attach(backbone, options)\n"
    "        model.predict = lambda images, point: images\n"
    "        return model",
}


@pytest.mark.parametrize("where", BREAKS)
def test_a_method_s_fault_names_its_file_and_line_and_keeps_what_was_measured(
    where: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "import sys\nfrom dynvit.interface import methods, register_method\nDense = methods.get('dense')\n\n"
        f"@register_method('mine')\nclass Mine(Dense):\n    static = False\n    {BREAKS[where]}\n"
    )
    words = (
        f"bench --methods dense,mine --weights {made}/good.safetensors --points 1 --limit 20 -o out --plugin mine.py"
    )
    code = main(words.split())
    line = capsys.readouterr().err.splitlines()[-1]
    methods._registered.pop("mine", None)
    assert code == 2
    assert line.startswith("dynvit: error: ")
    if where in ("attach", "predict", "forward", "knobs"):  # the others are found by us, in what they hand out
        assert line.startswith("dynvit: error: plug-in 'mine.py', mine.py:")
    if where in ("predict", "forward"):
        assert [record.method.name for record in RunStore(tmp_path / "out" / "runs.jsonl").read()] == ["dense"]


Spoil = Callable[[Path], None]


def cut(folder: Path) -> None:
    shard = folder / "demo-validation-01.tar"
    shard.write_bytes(shard.read_bytes()[:5000])


def blur(folder: Path) -> None:
    shard = folder / "demo-validation-01.tar"
    keys = [f"validation{i:04d}" for i in range(6, 12)]
    write_shard(shard, [(k, i % 10, b"no image" if i == 3 else picture(i)) for i, k in enumerate(keys)])


def mislabel(folder: Path) -> None:
    write_shard(folder / "demo-validation-01.tar", [(f"validation{i:04d}", 10, picture(i)) for i in range(6, 12)])


def shorten(folder: Path) -> None:
    names = tuple(f"demo-validation-{i:02d}.tar" for i in range(2))
    (folder / INFO).write_text(info_text([SplitInfo("validation", names, (6, 7))]))


def lose(folder: Path) -> None:
    (folder / "demo-validation-01.tar").unlink()


BAD_DATA: dict[Spoil, tuple[str, ...]] = {
    cut: ("demo-validation-01.tar", "truncated", "last good key", "validation0007", "--on-bad-sample skip"),
    blur: ("demo-validation-01.tar", "'validation0009'", "not an image", "--on-bad-sample skip"),
    mislabel: ("demo-validation-01.tar", "'validation0006'", "label", "0 to 9", "got 10"),
    shorten: ("demo-validation-01.tar", "6 samples", "says 7"),
    lose: ("demo-validation-01.tar", "missing", "dynvit data pack"),
}
DATA = "--dataset cifar10 --backbone vit_digits --data-dir data"
RUN = f"bench --methods dense --weights MADE/good.safetensors {DATA} -o out"


@pytest.mark.parametrize("spoil", BAD_DATA, ids=lambda spoil: spoil.__name__)
def test_bad_data_is_named_by_shard_and_key(
    spoil: Spoil, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(write_dataset(tmp_path / "data", {"validation": 12}))
    line = refused(RUN, made, capsys)
    for part in BAD_DATA[spoil]:
        assert part in line
    assert RunStore(tmp_path / "out" / "runs.jsonl").read() == []
    # With the data mended the same command goes on from there.
    shutil.rmtree(tmp_path / "data")
    write_dataset(tmp_path / "data", {"validation": 12})
    assert main(RUN.replace("MADE", str(made)).split()) == 0
    assert len(RunStore(tmp_path / "out" / "runs.jsonl").read()) == 1


@pytest.mark.parametrize(("spoil", "bad"), [(cut, 4), (blur, 1)], ids=["cut", "blur"])
def test_bad_samples_are_skipped_and_counted_where_that_is_asked_for(
    spoil: Spoil, bad: int, made: Path, tmp_path: Path
) -> None:
    spoil(write_dataset(tmp_path / "data", {"validation": 12}))
    assert main([*RUN.replace("MADE", str(made)).split(), "--on-bad-sample", "skip"]) == 0
    (record,) = RunStore(tmp_path / "out" / "runs.jsonl").read()
    counts = record.dataset
    assert (counts.n_expected, counts.n_bad, counts.n_unique) == (12, bad, 12 - bad)


@pytest.mark.parametrize("words", [["--debug", "check", "dens"], ["check", "dens", "--debug"]], ids=["first", "last"])
def test_debug_shows_where_it_happened(words: list[str]) -> None:
    with pytest.raises(InputError, match="did you mean 'dense'") as caught:
        main(words)
    assert any(entry.name == "get" for entry in caught.traceback)


PROCESSES = {
    "check dens": "did you mean 'dense'?",
    f"{BENCH} --weights MADE/bomb.pth": "never run",
    f"{SHARDS} MADE/empty": "no shards of cifar10",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", PROCESSES)
def test_a_process_ends_with_the_code_and_the_line(command: str, made: Path, tmp_path: Path) -> None:
    words = command.replace("MADE", str(made)).split()
    done = subprocess.run([sys.executable, "-m", "dynvit", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("dynvit: error: ")
    assert PROCESSES[command] in done.stderr
    assert written(tmp_path) == []
