"""`genkit lora`: look at an adapter, convert it, or make it part of its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from genkit.cli.kept import Kept

app = typer.Typer(
    name="lora",
    help="Look at an adapter, convert it, or make it part of its model.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Source = Annotated[Path, typer.Argument(help="A .safetensors file, or a run or its export.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def info(source: Source, *, as_json: Json = False) -> None:
    """Say which networks and layers an adapter changes, its ranks, and by how much.

    Change is the Frobenius norm of what is added to the weights, alpha included: 0 is an adapter
    that does nothing.

    Examples:
      [cyan]genkit lora info runs/style[/]
      [cyan]genkit lora info style.safetensors --json[/]
    """
    from genkit.verbs.lora import info

    found = info(source)
    if as_json:
        typer.echo(json.dumps([each.to_tree() for each in found]))
        return
    for each in found:
        ranks = ", ".join(map(str, each.ranks))
        typer.echo(
            f"{each.part}: {len(each.changes)} layers, rank {ranks}, {each.weights:,} weights, "
            f"change {each.change:.4g}"
        )
        most = sorted(each.changes.items(), key=lambda pair: -pair[1])[:3]
        typer.echo("  most in " + ", ".join(f"{name} {value:.3g}" for name, value in most))


@app.command(cls=Kept)
def convert(
    source: Source,
    *,
    to: Annotated[Literal["kohya", "diffusers"], typer.Option(help="Whose names.")],
    out: Annotated[Path, typer.Option(help="The new file; nothing is overwritten.")],
    as_json: Json = False,
) -> None:
    """Write an adapter with the names that other programs look for.

    ComfyUI and the web interfaces read kohya's, diffusers reads both.

    Examples:
      [cyan]genkit lora convert runs/style --to kohya --out style.safetensors[/]
    """
    from genkit.verbs.lora import convert

    done = convert(source, to, out)
    typer.echo(json.dumps({"file": str(done)}) if as_json else done)


@app.command(cls=Kept)
def merge(
    source: Source,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the export.")],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Folder or Hub id of the model; of a run or an export the one it was trained on.",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="How much of the change is added; 1 is what was trained.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Add an adapter to the weights of its model: an export that stands alone.

    It needs neither the model nor the adapter any more, and plain diffusers opens it.

    Examples:
      [cyan]genkit lora merge runs/style --out exports/style[/]
      [cyan]genkit lora merge a.safetensors --base org/model --out exports/a[/]
    """
    from genkit.verbs.lora import merge

    done = merge(source, out, base=base, strength=strength)
    typer.echo(json.dumps({"export": str(done)}) if as_json else done)
