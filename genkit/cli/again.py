"""`genkit again`: pictures made once more from the records beside them."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


def again(
    records: Annotated[
        list[Path],
        typer.Argument(metavar="FILE.json...", help="What lies beside pictures that genkit made."),
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
    """Make pictures again, and say whether they are the same.

    A record names the model with the hash of its weights, the picture with the hash of its file,
    and all settings; paths are as they were given then. The exit status is 0 where every pixel is
    the same, else 1.

    Examples:
      [cyan]genkit again zebras/photo-horse2zebra.json[/]
      [cyan]genkit again zebras/*.json --out again[/]
      [cyan]genkit again photo-horse2zebra.json --model runs/zebras --picture photo.jpg[/]
    """
    from genkit.verbs.again import Request
    from genkit.verbs.again import again as make

    made = make(Request(records, out, model, picture, device))
    for done in made:
        result = None if done.result is None else str(done.result)
        if json:
            tree = {"record": str(done.record), "out": result, "same": done.same}
            rest = {"difference": done.difference, "problem": done.problem}
            typer.echo(json_format.dumps(tree | rest))
        else:
            typer.echo(f"{result}: {done.sentence()}" if result else done.problem)
    if not all(done.same for done in made):
        raise typer.Exit(1)
