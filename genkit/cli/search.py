"""`genkit search`: the pictures that fit a text."""

from __future__ import annotations

import json as json_format
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.cli.classify import Model, bar_of
from genkit.cli.drawing import say_loading
from genkit.cli.translate import Device, Images

log = logging.getLogger("genkit")


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


def search(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="A text, or the file of a picture.")
    ],
    images: Images,
    *,
    model: Model = "clip-vitb32",
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 10,
    grid: Annotated[Path | None, _option("FILE.png", "A sheet of them too.")] = None,
    device: Device = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find the pictures that fit a text best, or are most like a picture.

    Printed are the cosine with the query and the path, the best first. Vectors of pictures are
    kept in the user's cache, so the next search of the same pictures is quick. A picture that
    can't be read is named, the others are compared, and the exit status is 1.

    Examples:
      [cyan]genkit search "a red star" photos[/]
      [cyan]genkit search "a red star" photos --model runs/clip --count 5 --grid stars.png[/]
      [cyan]genkit search photo.jpg photos more/*.png --json[/]
    """
    say_loading(model)
    from genkit.verbs.search import Request, search

    found = search(Request(query, images, model, count, grid, device), bar_of("embedding"))
    if json:
        typer.echo(json_format.dumps(found.to_tree()))
    else:
        for source, cosine in zip(found.sources, found.cosines, strict=True):
            typer.echo(f"{cosine:.3f}  {source.where}")
        log.info("of %d pictures, %d of them known from before", found.among, found.known)
    if found.failed:
        raise typer.Exit(1)
