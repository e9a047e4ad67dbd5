"""`genkit again`: a picture made once more from the record beside it."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


def again(
    record: Annotated[
        Path,
        typer.Argument(metavar="FILE.json", help="What lies beside a picture that genkit made."),
    ],
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the picture goes.", show_default="again")
    ] = Path("again"),
    model: Annotated[str | None, _option("RUN", "The model, where it has moved.")] = None,
    picture: Annotated[str | None, _option("IMAGE", "What it is of, where that has moved.")] = None,
    device: Annotated[
        str | None, _option("NAME", "E.g. cpu, cuda:1; default a GPU if there is one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make a picture again, and say whether it is the same.

    The record names the model with the hash of its weights, the picture with the hash of its file,
    and all settings. The exit status is 0 where every pixel is the same, else 1.

    Examples:
      [cyan]genkit again zebras/photo-horse2zebra.json[/]
      [cyan]genkit again photo-horse2zebra.json --model runs/zebras --picture photo.jpg[/]
    """
    from genkit.verbs.again import Request
    from genkit.verbs.again import again as make

    done = make(Request(record, out, model, picture, device))
    if done.result is None:
        done.outcome.say()
        raise typer.Exit(1)
    if json:
        tree = {"out": str(done.result), "same": done.same, "difference": done.difference}
        typer.echo(json_format.dumps(tree))
    else:
        typer.echo(f"{done.result}: {done.sentence()}")
    if not done.same:
        raise typer.Exit(1)
