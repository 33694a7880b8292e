"""``dynvit attack``: one model, one operating point, under attack."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def attack(
    attacks: Annotated[str, typer.Argument(metavar="ATTACKS", help="Comma list: fgsm,pgd,… or a preset's name.")],
    method: Annotated[str, typer.Option(help="The method that is attacked.")],
    checkpoint: Annotated[
        str | None, typer.Option(metavar="PATH|NAME", help="Its trained parts: of dynvit train, or published.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="See dynvit ls datasets. Default: digits")] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder or URL of the shards. Default: $DYNVIT_DATA/DATASET")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Default: validation")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="N images, a fair draw by seed.")] = 256,
    backbone: Annotated[str | None, typer.Option(help="timm's name. Default: by dataset")] = None,
    weights: Annotated[str | None, typer.Option(help="Backbone weights: a file, or hf://OWNER/REPO.")] = None,
    image_size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Default: the backbone's")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the method; repeatable.")] = None,
    knob: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The operating point, every knob; repeatable.")
    ] = None,
    budget: Annotated[float | None, typer.Option(metavar="G", help="Or GMACs an image, solved on calibration.")] = None,
    norm: Annotated[str | None, typer.Option(help="linf or l2. Default: linf")] = None,
    eps: Annotated[
        str | None, typer.Option(metavar="E,E", help="Radii, 4/255 or 0.5, of pixels in [0, 1]. Default: a ladder")
    ] = None,
    attack_option: Annotated[
        list[str] | None, typer.Option(metavar="ATTACK.NAME=VALUE", help="A setting of an attack; repeatable.")
    ] = None,
    masking_checks: Annotated[bool, typer.Option(help="Look for masked gradients.")] = True,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", metavar="N", help="Default: 64")] = None,
    workers: Annotated[int | None, typer.Option("--workers", "-j", metavar="N", help="Decoding. Default: 0")] = None,
    device: Annotated[str | None, typer.Option(help="auto or cpu. Default: auto")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draw of images and the splits. Default: 0")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Default: runs/attack-METHOD-DATASET")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(metavar="FILE", help="A one-file method; repeatable.")] = None,
) -> None:
    """Attack accuracy and compute, in every way that the model allows, and say what is left.

    Each attack is a line of robustness.jsonl in the output folder; the same command again repeats none of them.
    """
    from dynvit.bench.attack_command import run_attack
    from dynvit.cli.bench import _by_method, _names

    flags: dict[str, Any] = {
        "methods": (method,),
        "method_checkpoint": None if checkpoint is None else {method: (checkpoint,)},
        "dataset": dataset,
        "data_dir": data_dir,
        "split": split,
        "limit": limit,
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "options": {method: tuple(option)} if option else None,
        "budgets": None if budget is None else (budget,),
        "robustness": _names(attacks),
        "robustness_points": "all",
        "robustness_limit": limit,
        "norm": norm,
        "eps": _names(eps),
        "attack_option": _by_method(attack_option, "--attack-option", "."),
        "masking_checks": masking_checks,
        "batch_size": batch_size,
        "workers": workers,
        "device": device,
        "seed": seed,
        "output": output,
        "plugin": tuple(plugin) if plugin else None,
    }
    run_attack({name: value for name, value in flags.items() if value is not None}, tuple(knob or ()))
