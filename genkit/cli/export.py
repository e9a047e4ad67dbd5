"""`genkit export`: a run becomes a pipeline folder that opens without trainer and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    *,
    checkpoint: Annotated[
        int | None, typer.Option(min=0, help="Step of the checkpoint; default the newest.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default RUN/export.")] = None,
    push: Annotated[
        str | None, typer.Option(metavar="HUB_ID", help="Upload to the Hub too, e.g. me/glyphs.")
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For the model card, as the Hub calls it, e.g. mit."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the path.")
    ] = False,
) -> None:
    """Write the averaged weights of a run as a diffusers pipeline folder.

    A finished `genkit train` has done so already; this is for other checkpoints and places.
    Only an export is ever replaced, and files beside it in its folder are kept.

    Examples:
      [cyan]genkit export runs/glyphs[/]
      [cyan]genkit export runs/glyphs --checkpoint 2000 --out exports/glyphs-2000[/]
      [cyan]genkit export runs/glyphs --push me/glyphs --license mit[/]
    """
    from genkit.verbs.export import export as run_verb

    done = run_verb(run, step=checkpoint, out=out, push=push, license=license)
    typer.echo(json.dumps({"run": str(run), "export": str(done)}) if as_json else done)
