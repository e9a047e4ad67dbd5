"""`genkit translate`: one's own pictures through a translator, each at its own size."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genkit.cli.drawing import say_loading

if TYPE_CHECKING:
    from genkit.verbs.change_pictures import Outcome


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES",
        help="Files, folders (at any depth), .zip files, patterns; - is standard input.",
        show_default=False,
    ),
]
Device = Annotated[str | None, _option("NAME", "E.g. cpu, cuda:1; default a GPU if there is one.")]


def translate(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, export folder or Hub id.")
    ],
    images: Images,
    *,
    out: Annotated[
        Path | None,
        _option(
            "DIR",
            "Where results go, NAME-a2b.png and NAME-a2b.json; default RUN/translated, of an "
            "export NAME-translated here.",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        _option("a2b|b2a", "Which way, also by names such as horse2zebra; default the first."),
    ] = None,
    tile: Annotated[
        int | None,
        _option(
            "SIDE",
            "Side of tiles in px; default whole where memory allows it, else as large as fits.",
            min=1,
        ),
    ] = None,
    grid: Annotated[Path | None, _option("FILE.png", "A sheet of before and after too.")] = None,
    device: Device = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Translate pictures of any size; each comes back at its size.

    Transparency and colour profile stay, an EXIF turn is applied. Beside each result lies a .json
    file that says how it was made; genkit again makes it once more. What is there already is kept.
    A picture that can't be read is named, the others are made, and the exit status is 1.

    Examples:
      [cyan]genkit translate runs/zebras photo.jpg --out zebras[/]
      [cyan]genkit translate runs/zebras photos more/*.png --direction b2a --out horses[/]
      [cyan]genkit translate runs/zebras - --out zebras < photo.jpg[/]
      [cyan]genkit translate runs/zebras photos --grid sheet.png --tile 512[/]
    """
    say_loading(source)
    from genkit.verbs.translate import Request, translate

    request = Request(source, images, out, direction, tile, device, grid)
    _finish(translate(request, _bar), as_json=json)


def _finish(outcome: Outcome, *, as_json: bool) -> None:
    """Print what was done; exit status 1 where a picture has no result."""
    outcome.say()
    if as_json:
        typer.echo(json_format.dumps(outcome.to_tree()))
    else:
        made = [outcome.out] if outcome.written or outcome.kept else []
        made += [outcome.sheet] if outcome.sheet is not None else []
        for path in made:
            typer.echo(str(path))
    if outcome.failed:
        raise typer.Exit(1)


def _bar(count: int, missing: int, own: int, batch_size: int) -> Any:
    from genkit.cli.drawing import bar

    return bar(count, missing, own, batch_size, "translating")
