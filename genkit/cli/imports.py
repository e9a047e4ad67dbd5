"""`genkit import`: weights of others' code become an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genkit.cli.kept import Kept

app = typer.Typer(
    name="import",
    help="Make an export of weights that others' code has trained.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def _layouts() -> None:
    """Make an export of weights that others' code has trained."""


@app.command(cls=Kept)
def cyclegan(
    file: Annotated[
        Path, typer.Argument(help="Weights of a generator, such as latest_net_G_A.pth.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the export.")],
    back: Annotated[
        Path | None, typer.Option(help="Weights of the way back, such as latest_net_G_B.pth.")
    ] = None,
    names: Annotated[
        str, typer.Option(metavar="A,B", help="What the two kinds of pictures are called.")
    ] = "a,b",
    license: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For the model card, as the Hub calls it, e.g. mit."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the path.")
    ] = False,
) -> None:
    """Read generators of CycleGAN or pix2pix as their authors' PyTorch code saves them.

    ResNets and U-Nets of any width and depth; nothing in the files is executed.

    Examples:
      [cyan]genkit import cyclegan horse2zebra.pth --names horse,zebra --out exports/zebra[/]
      [cyan]genkit import cyclegan there.pth --back back.pth --out exports/both[/]
    """
    from genkit.verbs.imports import import_cyclegan

    words = names.split(",")
    if len(words) != 2 or not all(word.strip() for word in words):
        raise typer.BadParameter(f"{names!r}: give two words with a comma between them")
    kinds = [word.strip() for word in words]
    done = import_cyclegan(file, out, back=back, names=kinds, license=license)
    typer.echo(json.dumps({"export": str(done)}) if as_json else done)
