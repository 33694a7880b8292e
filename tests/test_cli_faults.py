"""Wrong input gets one line: what is wrong, what is allowed, what to do; exit code 2, nothing written, nothing lost."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from data_helpers import hashes, picture, write_dataset, write_shard

import dynvit.backbones.small  # noqa: F401 - registers vit_digits with timm
from dynvit.cli import main
from dynvit.data.manifest import INFO, SplitInfo, info_text
from dynvit.errors import InputError
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
    (folder / "empty").mkdir()
    write_dataset(folder / "shards", {"train": 40, "validation": 12})
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


@dataclass(frozen=True)
class Fault:
    """A command with one thing wrong, and what its line must hold. ``MADE`` stands for the folder of files."""

    name: str
    command: str
    says: tuple[str, ...] = field(default=())


BENCH = "bench --methods dense,topk --limit 20 -o out"
WEIGHTS = f"{BENCH} --weights MADE/good.safetensors"
SHARDS = f"{WEIGHTS} --dataset cifar10 --backbone vit_digits --data-dir"
FAULTS = (
    Fault("unknown command", "bnech", ("bnech",)),
    Fault("unknown flag", f"{BENCH} --budgts 1", ("--budgts", "--budgets")),
    Fault("unknown method", "bench --methods dense,topkk -o out", ("method 'topkk'", "'topk'", "dynamicvit")),
    Fault("no method", "bench --methods , -o out", ("methods",)),
    Fault("unknown backbone", f"{BENCH} --backbone vit_digit", ("backbone 'vit_digit'", "'vit_digits'")),
    Fault("unknown dataset", f"{BENCH} --dataset digit", ("dataset 'digit'", "'digits'", "imagenet")),
    Fault("unknown split", f"{WEIGHTS} --split validatoin", ("'validatoin'", "'validation'", "calibration")),
    Fault("unknown option", f"{WEIGHTS} --option topk.stage=2", ("'stage'", "'stages'")),
    Fault("option of another type", f"{WEIGHTS} --option topk.stages=many", ("stages", "many")),
    Fault("option of nobody", f"{WEIGHTS} --option stages=2", ("--option", "'stages=2'")),
    Fault("option of an absent method", f"{WEIGHTS} --option random.seed=2", ("'random'", "dense, topk")),
    Fault("an option out of range", f"{WEIGHTS} --option topk.stages=0", ("stages", "1 to 5")),
    Fault("more stages than blocks", f"{WEIGHTS} --option topk.stages=6", ("stages", "1 to 5")),
    Fault("unknown device", f"{WEIGHTS} --device gpu", ("device", "'auto'", "'cpu'")),
    Fault("unknown interpolation", f"{WEIGHTS} --interpolation cubic", ("'cubic'", "bicubic")),
    Fault("a size that patches do not divide", f"{BENCH} --image-size 9", ("patch size 2", "got 9")),
    Fault("reporting where points are chosen", f"{WEIGHTS} --split calibration", ("split", "calibration")),
    Fault("an output that is a file", f"{WEIGHTS} -o MADE/good.safetensors", ("good.safetensors", "--output")),
    Fault("an output in a file", f"{WEIGHTS} -o MADE/good.safetensors/out", ("good.safetensors", "--output")),
    Fault("more calibration than there is", f"{WEIGHTS} --calibration 9999", ("9999", "1437")),
    Fault("unknown recipe", f"{WEIGHTS} --recipe digit", ("recipe 'digit'", "'digits'", "finetune")),
    Fault("unknown sampler", f"{WEIGHTS} --sampler tpee", ("--sampler", "'budgets'", "'tpe'", "'tpee'")),
    Fault("unknown rule", f"{WEIGHTS} --rule flops", ("unknown counting rule 'flops'", "matmul+conv", "fvcore")),
    Fault("no point", f"{WEIGHTS} --points 0", ("points", "1")),
    Fault("no image", f"{WEIGHTS} --limit 0", ("limit", "1")),
    Fault("budgets that are no numbers", f"{WEIGHTS} --budgets low,high", ("--budgets", "number", "'low'")),
    Fault("a budget of nothing", f"{WEIGHTS} --budgets 0", ("budget", "above 0")),
    Fault("a budget out of range", f"{WEIGHTS} --budgets 0.0001", ("0.0001", "GMACs")),
    Fault("a target above one", f"{WEIGHTS} --targets 1.5", ("targets", "(0, 1]", "1.5")),
    Fault("speed in an unknown type", f"{WEIGHTS} --speed --speed-dtype fp16", ("--speed-dtype", "'bf16'")),
    Fault("speed of no image", f"{WEIGHTS} --speed --speed-batches 4,0", ("--speed-batches", "1", "got 0")),
    Fault("speed of half an image", f"{WEIGHTS} --speed --speed-batches 2.5", ("--speed-batches", "integer", "2.5")),
    Fault("speed of no batch", f"{WEIGHTS} --speed --speed-batches ,", ("--speed-batches", "one or more", "none")),
    Fault("speed in no round", f"{WEIGHTS} --speed --speed-rounds 0", ("--speed-rounds", "1", "got 0")),
    Fault("speed of an unknown method", "speed --method topkk", ("method 'topkk'", "'topk'")),
    Fault("speed of what was not trained", "speed --method dvt", ("'dvt'", "--checkpoint")),
    Fault("speed on a device that is not there", "speed --method topk --device cuda:99", ("cuda:99", "'auto', 'cpu'")),
    Fault("speed at half a point", "speed --method topk --knob keep=0.5", ("knob 'keep'", "keep_ratio")),
    Fault("speed at two points", "speed --method topk --knob keep_ratio=1 --budgets 1", ("--knob", "--budgets")),
    Fault("speed into a folder", "speed --method topk -o MADE", ("--output", "folder")),
    Fault("speed on no thread", "speed --method topk --threads 0", ("--threads", "1", "got 0")),
    Fault("unknown attack", f"{WEIGHTS} --robustness pgdd", ("'pgdd'", "'pgd'", "cifar-linf")),
    Fault("unknown norm", f"{WEIGHTS} --robustness pgd --norm l1", ("norm", "'linf'", "'l2'", "'l1'")),
    Fault("a negative eps", f"{WEIGHTS} --robustness pgd --eps -0.1", ("eps", "-0.1", "0 or more")),
    Fault("an eps that is no number", f"{WEIGHTS} --robustness pgd --eps 4:255", ("'4:255'", "4/255")),
    Fault(
        "the flag of an eps", f"{WEIGHTS} --robustness pgd --eps -0.1", ("error: --eps must be a radius", "got -0.1")
    ),
    Fault("attacks of no name", f"{WEIGHTS} --robustness=", ("--robustness must name one or more", "NAME,NAME")),
    Fault("corruptions of no name", f"{WEIGHTS} --corruptions=", ("--corruptions must name one or more", "all|GROUP")),
    Fault("an eps of a preset", f"{WEIGHTS} --robustness cifar-linf --eps 4/255", ("'cifar-linf'", "--eps")),
    Fault(
        "a setting of a preset", f"{WEIGHTS} --robustness cifar-linf --attack-option cifar-linf.steps=9", ("settings",)
    ),
    Fault("a norm of a preset", f"{WEIGHTS} --robustness cifar-linf --norm l2", ("'cifar-linf'", "--norm")),
    Fault("an eps of no attack", f"{WEIGHTS} --eps 4/255", ("--eps", "--robustness")),
    Fault("unknown attack option", f"{WEIGHTS} --robustness pgd --attack-option pgd.step=3", ("'step'", "'steps'")),
    Fault("option of an absent attack", f"{WEIGHTS} --robustness pgd --attack-option fgsm.seed=3", ("'fgsm'", "pgd")),
    Fault("an attack of no step", f"{WEIGHTS} --robustness pgd --attack-option pgd.steps=0", ("steps", "1", "got 0")),
    Fault(
        "no attacked point",
        f"{WEIGHTS} --robustness pgd --robustness-points 0",
        ("points", "1 or more", "got 0"),
    ),
    Fault(
        "attacked points",
        f"{WEIGHTS} --robustness pgd --robustness-points some",
        ("points", "integer", "'some'"),
    ),
    Fault("no attacked image", f"{WEIGHTS} --robustness pgd --robustness-limit 0", ("--robustness-limit", "got 0")),
    Fault(
        "a method without gradient",
        "bench --methods dense,rounded --limit 20 -o out --plugin MADE/rounded.py --robustness fgsm",
        ("'rounded'", "no gradient", "rounding"),
    ),
    Fault("attack: no point", "attack pgd --method topk --weights MADE/good.safetensors", ("keep_ratio", "--knob")),
    Fault(
        "attack: unknown knob",
        "attack pgd --method topk --weights MADE/good.safetensors --knob ratio=1",
        ("'ratio'", "keep_ratio"),
    ),
    Fault(
        "attack: no attack",
        "attack , --method dense --weights MADE/good.safetensors",
        ("--robustness", "one or more"),
    ),
    Fault(
        "attack: no image",
        "attack pgd --method dense --weights MADE/good.safetensors --limit 0",
        ("error: --limit must be", "got 0"),
    ),
    Fault("attack: unknown method", "attack pgd --method dens", ("method 'dens'", "'dense'")),
    Fault("no suite", f"{BENCH} -C MADE/none.yaml", ("none.yaml", "YAML")),
    Fault("a suite that is no YAML", f"{BENCH} -C MADE/broken.yaml", ("broken.yaml", "not YAML")),
    Fault("a suite that is no text", f"{BENCH} -C MADE/noise.safetensors", ("noise.safetensors", "not YAML")),
    Fault("a suite that is a list", f"{BENCH} -C MADE/list.yaml", ("list.yaml", "mapping")),
    Fault("a suite with an unknown option", f"{BENCH} -C MADE/name.yaml", ("'pionts'", "'points'")),
    Fault("a suite with a wrong value", f"{BENCH} -C MADE/value.yaml", ("--points", "integer", "'many'")),
    Fault("a suite with text for a switch", f"{BENCH} -C MADE/switch.yaml", ("--speed", "true or false", "got 'no'")),
    Fault("a suite that measures True", f"{BENCH} -C MADE/attacks.yaml", ("--robustness", "the attacks", "got True")),
    Fault("a suite with half a plug-in", f"{BENCH} -C MADE/plugin.yaml", ("--plugin", "path", "'a': 'b'")),
    Fault("no plug-in", f"{WEIGHTS} --plugin MADE/none.py", ("none.py", "--plugin")),
    Fault(
        "no place for data", f"{WEIGHTS} --dataset cifar10", ("--data-dir", "DYNVIT_DATA", "dynvit data pack", "hf://")
    ),
    Fault("no shards", f"{SHARDS} MADE/empty", ("no shards of cifar10", "dynvit data pack", "hf://")),
    Fault("no weights", f"{BENCH} --weights MADE/none.safetensors", ("none.safetensors", "hf://")),
    Fault("no weights and no training", f"{BENCH} --no-train", ("no weights", "--weights", "--train")),
    Fault("wider weights", f"{BENCH} --weights MADE/wide.safetensors", ("shape", "24", "48")),
    Fault("fewer blocks", f"{BENCH} --weights MADE/shallow.safetensors", ("shallow.safetensors", "blocks.4")),
    Fault("other classes", f"{BENCH} --weights MADE/classes.safetensors", ("10 classes", "got 7", "dynvit train")),
    Fault("weights that run code", f"{BENCH} --weights MADE/bomb.pth", ("bomb.pth", "never run")),
    Fault("weights that run code, zipped", f"{BENCH} --weights MADE/bomb-in-a-zip.pth", ("code", "never run")),
    Fault("noise for weights", f"{BENCH} --weights MADE/noise.safetensors", ("noise.safetensors", "not a readable")),
    Fault(
        "an untrained method",
        f"{WEIGHTS} --methods dynamicvit --no-train",
        ("'dynamicvit'", "--method-checkpoint dynamicvit=PATH", "--train"),
    ),
    Fault(
        "a checkpoint of nobody", f"{WEIGHTS} --method-checkpoint MADE/trained", ("--method-checkpoint", "dynamicvit=")
    ),
    Fault(
        "no checkpoint of that name",
        f"{WEIGHTS} --method-checkpoint dense=nope",
        ("no folder, file or published", "'nope'"),
    ),
    Fault("no checkpoint", f"{WEIGHTS} --method-checkpoint topk=MADE/none", ("none", "dynvit train")),
    Fault(
        "weights for a checkpoint", f"{WEIGHTS} --method-checkpoint topk=MADE/good.safetensors", ("published", "'topk'")
    ),
    Fault("a folder without one", f"{WEIGHTS} --method-checkpoint topk=MADE/empty", ("no checkpoint", "dynvit train")),
    Fault(
        "a checkpoint of another method",
        f"{WEIGHTS} --method-checkpoint topk=MADE/trained",
        ("'dynamicvit'", "'topk'"),
    ),
    Fault(
        "a checkpoint of another backbone",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/trained --backbone vit_cifar -o out",
        ("vit_digits", "vit_cifar", "--backbone"),
    ),
    Fault(
        "a checkpoint of other classes",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/trained --backbone vit_digits "
        "--dataset cifar100 --data-dir MADE/shards -o out",
        ("10 classes", "100"),
    ),
    Fault(
        "a checkpoint half copied",
        "bench --methods dynamicvit --method-checkpoint dynamicvit=MADE/half-copied -o out",
        ("half-copied", "model.safetensors", "whole folder"),
    ),
    Fault("train: unknown method", "train --method dens --dataset digits --backbone vit_digits -o out", ("'dense'",)),
    Fault(
        "train: unknown recipe",
        "train --method dense --dataset digits --backbone vit_digits --recipe digit -o out",
        ("recipe", "'digit'", "'digits'"),
    ),
    Fault("train: nothing to train", "train --method topk --dataset digits --backbone vit_digits -o out", ("train",)),
    Fault("check: unknown method", "check dens", ("method 'dens'", "'dense'")),
    Fault(
        "check: a backbone it cannot serve", "check dense --backbone resnet18", ("resnet18", "deit_tiny_patch16_224")
    ),
    Fault("show: half a board", "show MADE/half.json", ("half.json", "version 1: field 'entries' is missing")),
    Fault("convert: nothing there", "convert MADE/none", ("no file", "none", "leaderboard.json")),
    Fault("convert: no board", "convert MADE/rounded.py", ("not a board", "rounded.py")),
    Fault("convert: a folder of none", "convert MADE/empty", ("no results", "empty")),
    Fault("show: nothing there", "show MADE/none", ("none", "runs.jsonl")),
    Fault("show: no results", "show MADE/empty", ("runs.jsonl",)),
    Fault("validate: no results", "validate MADE/empty", ("no results", "empty")),
    Fault("pack: no source", "data pack MADE/none out", ("none",)),
)


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


@pytest.mark.parametrize("command", PROCESSES)
def test_a_process_ends_with_the_code_and_the_line(command: str, made: Path, tmp_path: Path) -> None:
    words = command.replace("MADE", str(made)).split()
    done = subprocess.run([sys.executable, "-m", "dynvit", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("dynvit: error: ")
    assert PROCESSES[command] in done.stderr
    assert written(tmp_path) == []
