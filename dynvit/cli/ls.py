"""``dynvit ls``: what there is, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dynvit.registry import Registry

app = typer.Typer(no_args_is_help=True, help="What there is, and where it came from.")
Plugin = Annotated[list[str] | None, typer.Option("--plugin", metavar="FILE", help="A one-file plug-in; repeatable.")]


@app.command("methods")
def list_methods(plugin: Plugin = None) -> None:
    """Methods: in tree, from installed packages, from plug-in files."""
    from dynvit.interface import methods

    _load(plugin)
    found = methods.load_all()
    rows = [(name, kind.summary, ", ".join(kind.recipes), _origin(methods, name)) for name, kind in found.items()]
    _show(("method", "what it does", "recipes", "from"), rows)


@app.command("backbones")
def list_backbones(
    pattern: Annotated[str, typer.Argument(help="Like deit*; ours, plain ViTs and LeViTs where left out.")] = "",
) -> None:
    """Backbones: timm's, and those that we register with timm."""
    import timm

    import dynvit.backbones.build  # noqa: F401 - registers ours

    default = ["vit_digits*", "vit_cifar*", "levit_cifar*", "levit_[123]??", "deit*_patch16_*", "vit_*_patch16_224"]
    found = timm.list_models(pattern or default)
    _show(("backbone", "from"), [(name, _module(name)) for name in found])


@app.command("datasets")
def list_datasets() -> None:
    """Datasets, their classes and native size."""
    from dynvit.data import datasets

    rows = [
        (name, str(spec.num_classes), f"{spec.image_size}", spec.description, _origin(datasets, name))
        for name, spec in datasets.load_all().items()
    ]
    _show(("dataset", "classes", "pixels", "what it is", "from"), rows)


@app.command("attacks")
def list_attacks(plugin: Plugin = None) -> None:
    """Attacks: built in, from installed packages, from plug-in files."""
    from dynvit.attacks import attacks

    _load(plugin)
    rows = [(name, attack.summary, _origin(attacks, name)) for name, attack in attacks.load_all().items()]
    _show(("attack", "what it does", "from"), rows)


@app.command("checkpoints")
def list_checkpoints(plugin: Plugin = None) -> None:
    """Published checkpoints that can be fetched by name."""
    from dynvit.interface import methods

    _load(plugin)
    rows = [
        (published.name, name, published.backbone, f"{published.top1_pct:.2f}", published.url)
        for name, method in methods.load_all().items()
        for published in method.published
    ]
    _show(("checkpoint", "method", "backbone", "top-1 % (published)", "address"), rows)


def _load(plugin: list[str] | None) -> None:
    from dynvit.registry import load_plugin

    for file in plugin or ():
        load_plugin(file)


def _origin(registry: Registry[Any], name: str) -> str:
    return str(registry.origins(name)[0])


def _module(name: str) -> str:
    import timm

    return timm.model_entrypoint(name).__module__.partition(".")[0]


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo(f"no {columns[0]} yet: an installed package or a plug-in may bring one")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        # A name or an address is there to be copied: it is wrapped rather than cut.
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    # A pipe has no width; a program that reads it wants a row a line.
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)
