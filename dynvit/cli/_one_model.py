"""The options of a command that opens one model, at a point that is named by its knobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

ONE_MODEL: dict[str, Any] = {
    "method": (Annotated[str | None, typer.Option(help="The method. Default: the checkpoint's", metavar="NAME")], None),
    "checkpoint": (
        Annotated[
            str | None,
            typer.Option(metavar="PATH|NAME", help="The trained model: a folder of dynvit train, or published."),
        ],
        None,
    ),
    "option": (
        Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the method. Repeatable.")],
        None,
    ),
    "knob": (
        Annotated[
            list[str] | None, typer.Option(metavar="NAME=VALUE", help="The operating point: every knob. Repeatable.")
        ],
        None,
    ),
}
