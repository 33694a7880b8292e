"""``dynvit bench``: from nothing to a Pareto front."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer


def bench(
    methods: Annotated[str | None, typer.Option(help="Comma list. Default: all that come with dynvit")] = None,
    dataset: Annotated[str | None, typer.Option(help="See dynvit ls datasets. Default: digits")] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder or URL of the shards. Default: $DYNVIT_DATA/DATASET")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split that is reported. Default: validation")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="N images, a fair draw by seed.")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm's name. Default: by dataset")] = None,
    weights: Annotated[str | None, typer.Option(help="Backbone weights: a file, or hf://OWNER/REPO.")] = None,
    image_size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Default: the backbone's")] = None,
    crop_pct: Annotated[float | None, typer.Option(metavar="F", help="Centre crop. Default: the backbone's")] = None,
    interpolation: Annotated[str | None, typer.Option(help="Of the resize. Default: the backbone's")] = None,
    method_checkpoint: Annotated[
        list[str] | None, typer.Option(metavar="METHOD=PATH|NAME", help="Trained parts of a method; repeatable.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="METHOD.NAME=VALUE", help="An option of a method; repeatable.")
    ] = None,
    train: Annotated[bool | None, typer.Option("--train/--no-train", help="Train what needs training first.")] = None,
    targets: Annotated[
        str | None, typer.Option(metavar="F,F", help="Train one checkpoint a target, fractions of dense MACs.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Training recipe. Default: the dataset's")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Instead of the recipe's.")] = None,
    mixed_precision: Annotated[str | None, typer.Option(help="In training: no, fp16 or bf16. Default: no")] = None,
    points: Annotated[int | None, typer.Option(metavar="N", help="Rungs of the budget ladder. Default: 8")] = None,
    budgets: Annotated[str | None, typer.Option(metavar="G,G", help="Instead of a ladder: GMACs an image.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ladder, or a search on the calibration split: nsga2, tpe. Default: ladder")
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Of the search, a method. Default: 32")] = None,
    robustness: Annotated[
        str | None, typer.Option(metavar="A,A", help="Attack too: names of attacks (fgsm,pgd,…), or a preset.")
    ] = None,
    robustness_points: Annotated[
        str | None, typer.Option(metavar="N|all", help="Points of an arm's front that are attacked. Default: 3")
    ] = None,
    robustness_limit: Annotated[
        int | None, typer.Option(metavar="N", help="Images attacked, a fair draw by seed. Default: 256")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Of the attacks: linf or l2. Default: linf")] = None,
    eps: Annotated[
        str | None, typer.Option(metavar="E,E", help="Radii, 4/255 or 0.5, of pixels in [0, 1]. Default: a ladder")
    ] = None,
    attack_option: Annotated[
        list[str] | None, typer.Option(metavar="ATTACK.NAME=VALUE", help="A setting of an attack; repeatable.")
    ] = None,
    masking_checks: Annotated[
        bool | None,
        typer.Option("--masking-checks/--no-masking-checks", help="Look for masked gradients. Default: on"),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Counting rule: matmul+conv or fvcore.")] = None,
    calibration: Annotated[
        int | None, typer.Option(metavar="N", help="Images held out of train. Default: a tenth, at most 5,000")
    ] = None,
    on_bad_sample: Annotated[str | None, typer.Option(help="raise, or skip: count them. Default: raise")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", metavar="N", help="Default: 64")] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-j", metavar="N", help="Decoding. Default: 0")] = None,
    memory_mb: Annotated[
        int | None, typer.Option(metavar="MIB", help="Decoded pixels kept for the next points. Default: 4096")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto or cpu. Default: auto")] = None,
    seed: Annotated[int | None, typer.Option(help="Of splits, training and search. Default: 0")] = None,
    speed: Annotated[
        bool | None, typer.Option("--speed/--no-speed", help="Time a few points of each method beside dense.")
    ] = None,
    speed_batches: Annotated[
        str | None, typer.Option(metavar="N,N", help="Batch sizes that are timed. Default: 1,2,4,…,256")
    ] = None,
    speed_rounds: Annotated[
        int | None, typer.Option(metavar="N", help="Quiet rounds of each batch size. Default: 7")
    ] = None,
    speed_points: Annotated[int | None, typer.Option(metavar="N", help="Points of each method. Default: 3")] = None,
    speed_dtype: Annotated[str | None, typer.Option(help="float32 or bf16. Default: float32")] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Time both through torch.compile.")
    ] = None,
    corruptions: Annotated[
        str | None,
        typer.Option(
            metavar="all|GROUP|NAME,…", help="Also under corruptions: noise, blur, weather, digital, or names."
        ),
    ] = None,
    severities: Annotated[str | None, typer.Option(metavar="N,N", help="Of corruptions. Default: 1,2,3,4,5")] = None,
    corruptions_limit: Annotated[
        int | None, typer.Option(metavar="N", help="Images under each corruption. Default: 1000")
    ] = None,
    corrupted_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="A ready set, CORRUPTION/SEVERITY/CLASS, instead of ours.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Default: runs/DATASET-BACKBONE")
    ] = None,
    suite: Annotated[str | None, typer.Option("-C", metavar="FILE", help="YAML of these options; flags win.")] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="A new folder beside the old one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the plan.")] = False,
) -> None:
    """Sweep methods over one budget axis and publish the front: table, JSON, picture.

    Without options: every method that comes with dynvit, on digits, trained from scratch in a few minutes. The same
    command again continues what was begun and repeats nothing.
    """
    flags: dict[str, Any] = {
        "methods": _names(methods),
        "dataset": dataset,
        "data_dir": data_dir,
        "split": split,
        "limit": limit,
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "crop_pct": crop_pct,
        "interpolation": interpolation,
        "method_checkpoint": _by_method(method_checkpoint, "--method-checkpoint", "="),
        "options": _by_method(option, "--option", "."),
        "train": train,
        "targets": _numbers(targets, "--targets"),
        "recipe": recipe,
        "epochs": epochs,
        "mixed_precision": mixed_precision,
        "points": points,
        "budgets": _numbers(budgets, "--budgets"),
        "sampler": sampler,
        "trials": trials,
        "robustness": _names(robustness),
        "robustness_points": _count(robustness_points),
        "robustness_limit": robustness_limit,
        "norm": norm,
        "eps": _names(eps),
        "attack_option": _by_method(attack_option, "--attack-option", "."),
        "masking_checks": masking_checks,
        "rule": rule,
        "calibration": calibration,
        "on_bad_sample": on_bad_sample,
        "batch_size": batch_size,
        "workers": workers,
        "memory_mb": memory_mb,
        "device": device,
        "seed": seed,
        "speed": speed,
        "speed_batches": _numbers(speed_batches, "--speed-batches"),
        "speed_rounds": speed_rounds,
        "speed_points": speed_points,
        "speed_dtype": speed_dtype,
        "compile": compile,
        "corruptions": _names(corruptions),
        "severities": _whole(severities, "--severities"),
        "corruptions_limit": corruptions_limit,
        "corrupted_dir": corrupted_dir,
        "output": output,
        "plugin": tuple(plugin) if plugin else None,
    }
    from dynvit.bench.command import run_bench

    run_bench(suite, {name: value for name, value in flags.items() if value is not None}, fresh=fresh, dry_run=dry_run)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _count(text: str | None) -> int | str | None:
    """A number where it is one; what is neither a number nor ``all`` is refused with the other options."""
    return int(text) if text is not None and re.fullmatch("-?[0-9]+", text) else text


def _numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    from dynvit.errors import InputError

    try:
        return None if text is None else tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{flag} takes numbers with commas between them, 0.85,0.7 for one, not {text!r}") from None


def _whole(text: str | None, flag: str) -> tuple[int, ...] | None:
    from dynvit.errors import InputError

    try:
        return None if text is None else tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{flag} takes whole numbers with commas between them, 1,3,5 for one, not {text!r}") from None


def _by_method(given: list[str] | None, flag: str, sign: str) -> dict[str, tuple[str, ...]] | None:
    """``method<sign>rest``, collected by method."""
    from dynvit.errors import InputError

    if not given:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for item in given:
        method, found_sign, rest = item.partition(sign)
        if not found_sign or not method or not rest:
            whose = "attack: write pgd" if flag == "--attack-option" else "method: write dynamicvit"
            raise InputError(f"{flag} {item!r} lacks its {whose}{sign}…")
        found[method] = (*found.get(method, ()), rest)
    return found
