"""``dynvit ls``: what there is, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynvit.cli._plugins import Plugin, load
from dynvit.plain import say

if TYPE_CHECKING:
    from rich.console import Console

    from dynvit.interface import Method
    from dynvit.registry import Registry
    from dynvit.terminal import Table

app = typer.Typer(no_args_is_help=True, help="What there is, and where it came from.")


@app.command("methods")
def list_methods(plugin: Plugin = None) -> None:
    """Methods: where they were published, what they vary, whether and how they are trained, and who brings them."""
    from dynvit.interface import methods

    load(plugin)
    found = methods.load_all()
    rows = [(name, kind.summary, *_facts(kind), _origin(methods, name)) for name, kind in found.items()]
    _show(("method", "what it does", "published", "varies; training", "from"), rows)


def _facts(kind: type[Method[Any]]) -> tuple[str, str]:
    """Where it was published, what it varies, and whether it must be trained, may be, or has nothing to train."""
    training = "needed" if kind.needs_training else "optional" if kind.recipes else "none"
    return f"{kind.venue} {kind.year or ''}".strip(), "; ".join(filter(None, [", ".join(kind.varies), training]))


@app.command("recipes")
def list_recipes(plugin: Plugin = None) -> None:
    """Training recipes of every method, and which backbones and data sets each is for."""
    from dynvit.interface import methods

    load(plugin)
    rows = [
        (method, name, str(recipe.scope), f"{recipe.epochs} x {recipe.batch_size:,}")
        for method, kind in methods.load_all().items()
        for name, recipe in kind.recipes.items()
    ]
    _show(("method", "recipe", "is for", "epochs x batch"), rows)


@app.command("backbones")
def list_backbones(
    pattern: Annotated[str, typer.Argument(help="Like deit*; ours, plain ViTs and LeViTs where left out.")] = "",
    plugin: Plugin = None,
) -> None:
    """Backbones: timm's, and those that we or plug-ins register with timm."""
    from dynvit.api import listing

    found = listing.list_backbones(pattern or listing.SHOWN_BACKBONES, plugin=plugin or ())
    _show(("backbone", "from"), [(name, _module(name)) for name in found])


@app.command("datasets")
def list_datasets(plugin: Plugin = None) -> None:
    """Data sets, their classes and native size: registered ones, and packed folders in $DYNVIT_DATA."""
    from dynvit.data import datasets
    from dynvit.data.folder_dataset import folder_datasets

    load(plugin)
    found = [(spec, _origin(datasets, name)) for name, spec in datasets.load_all().items()]
    found += [(spec, f"folder {spec.folder}") for spec in folder_datasets()]
    rows = [
        (spec.name, str(spec.num_classes), str(spec.image_size), spec.description, origin) for spec, origin in found
    ]
    _show(("dataset", "classes", "pixels", "what it is", "from"), rows)


@app.command("measurements")
def list_measurements(plugin: Plugin = None) -> None:
    """Measurements that a bench can add to accuracy and compute, and the flag that asks for each."""
    from dynvit.measurements.asked import flags_for
    from dynvit.measurements.base import measurements

    load(plugin)
    rows = [
        (
            name,
            kind.summary,
            " ".join(flag.flag for flag in flags_for(kind) if flag.switch),
            _origin(measurements, name),
        )
        for name, kind in measurements.load_all().items()
    ]
    _show(("measurement", "what it does", "asked for by", "from"), rows)


@app.command("attacks")
def list_attacks(plugin: Plugin = None) -> None:
    """Attacks: built in, from installed packages, from plug-in files."""
    from dynvit.attacks import attacks

    load(plugin)
    rows = [(name, attack.summary, _origin(attacks, name)) for name, attack in attacks.load_all().items()]
    _show(("attack", "what it does", "from"), rows)


@app.command("corruptions")
def list_corruptions(plugin: Plugin = None) -> None:
    """Corruptions: the published fifteen, and those of plug-ins."""
    from dynvit.data.corruptions import corruptions

    load(plugin)
    rows = [(name, one.group, _origin(corruptions, name)) for name, one in corruptions.load_all().items()]
    _show(("corruption", "group", "from"), rows)


@app.command("rules")
def list_rules(plugin: Plugin = None) -> None:
    """Counting rules: what counts as a MAC."""
    from dynvit.cost import rules

    load(plugin)
    rows = [
        (name, (rule.__doc__ or "").partition("\n")[0], _origin(rules, name)) for name, rule in rules.load_all().items()
    ]
    _show(("rule", "what it counts", "from"), rows)


@app.command("exporters")
def list_exporters(plugin: Plugin = None) -> None:
    """What a board can be exported to."""
    from dynvit.report.exporters import exporters

    load(plugin)
    rows = [
        (name, (one.__doc__ or "").partition("\n")[0], _origin(exporters, name))
        for name, one in exporters.load_all().items()
    ]
    _show(("exporter", "what it writes", "from"), rows)


@app.command("checkpoints")
def list_checkpoints(plugin: Plugin = None) -> None:
    """Published checkpoints that can be fetched by name, with the accuracy that their authors state."""
    from dynvit.interface import methods

    load(plugin)
    rows = [
        (published.name, name, published.backbone, f"{published.top1_pct:.2f}", published.url)
        for name, method in methods.load_all().items()
        for published in method.published
    ]
    _show(("checkpoint", "method", "backbone", "top-1 %", "address"), rows)


def _origin(registry: Registry[Any], name: str) -> str:
    """On a terminal the package is enough; a program that reads the row gets the module too."""
    origin = registry.origins(name)[0]
    return f"{origin.distribution} {origin.version}".strip() if _console().is_terminal else str(origin)


def _module(name: str) -> str:
    import timm

    return timm.model_entrypoint(name).__module__.partition(".")[0]


def _console() -> Console:
    from dynvit.terminal import new_console

    console = new_console()
    # A pipe has no width; a program that reads it wants a row a line.
    return console if console.is_terminal else new_console(10_000)


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from dynvit.terminal import print_line, print_table

    if not rows:
        say(f"no {columns[0]} yet: an installed package or a plug-in may bring one")
        return
    console = _console()
    apart = columns[-1] == "address" and console.is_terminal and console.width < 160
    print_table(console, _table(columns[:-1], [row[:-1] for row in rows]) if apart else _table(columns, rows))
    if apart:  # a wrapped address cannot be copied
        for row in rows:
            print_line(console, f"{row[0]}  {row[-1]}")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from dynvit.terminal import Table

    table = Table()
    for number, column in enumerate(columns):
        # Names are there to be copied: they stay whole, and what is too long is wrapped rather than cut.
        name = all(" " not in row[number] and len(row[number]) < 32 for row in rows)
        table.add_column(column, no_wrap=number == 0 or name)
    for row in rows:
        table.add_row(*row)
    return table
