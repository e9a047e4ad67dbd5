"""`genkit data`: look at a data set, write a sheet of it, pack one into shards, or encode one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genkit.cli.kept import Kept
from genkit.errors import shown

if TYPE_CHECKING:
    from rich.table import Table

    from genkit.data.inspect import Inspection

app = typer.Typer(
    name="data",
    help="Look at a data set, pack one into shards, or encode one.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_SHOWN = 12  # lines of one kind before "and so many more"


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="Folder of images, shards, a zip or an npz file.")],
    *,
    label: Annotated[
        str, typer.Option(help="Column of metadata.jsonl that holds the class.")
    ] = "label",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decode every image and say what is there.

    The exit status is 2 when a file is broken.

    Examples:
      [cyan]genkit data check photos/[/]
      [cyan]genkit data check 'shards/train-*.tar' --json[/]
      [cyan]genkit data check samples.npz[/]
    """
    import json

    from rich.console import Console

    from genkit.data.inspect import inspect

    found = inspect(path, label)
    if as_json:
        text = json.dumps(found.to_tree(), indent=1, ensure_ascii=False)
        # Bytes of a name that are no text become \\udcNN, as JSON itself writes them.
        typer.echo(text.encode("utf-8", "backslashreplace"))
    else:
        Console(markup=False, emoji=False).print(_table(found))  # a class may be called :cat:
        _print_some("same pixels", [" = ".join(names) for names in found.duplicates])
        _print_some("broken", found.broken)
        _print_some("range", found.deep)
    if found.broken:
        raise typer.Exit(2)


@app.command(cls=Kept)
def pack(
    source: Annotated[Path, typer.Argument(help="Folder of images, as data.kind=folder reads it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards.")],
    *,
    per_shard: Annotated[int, typer.Option(min=1, help="Images per shard.")] = 5_000,
    label: Annotated[
        str, typer.Option(help="Column of metadata.jsonl that holds the class.")
    ] = "label",
) -> None:
    """Write a folder as WebDataset .tar shards.

    The same folder gives the same bytes.

    Examples:
      [cyan]genkit data pack photos/ shards/[/]
      [cyan]genkit data pack photos/ shards/ --per-shard 1000 --label species[/]
    """
    from genkit.data.pack import pack as write_shards

    for shard in write_shards(source, out, per_shard, label=label):
        typer.echo(shard)


@app.command(cls=Kept)
def preview(
    source: Annotated[
        str,
        typer.Argument(
            help="A config or run, a path of images, or a kind as faces or faces:counterfactual."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="data.b=value ...", help="Settings laid over a config or kind."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The sheet, a .png file.")],
    split: Annotated[
        str | None,
        typer.Option(help="The part; default train, of a path all.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1_000, help="Rows on the sheet.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Which rows: those that this seed draws.")] = 0,
) -> None:
    """Write a sheet of a data set: pictures with their classes, attributes or captions.

    All pictures of a row stand side by side: pairs, edits, masks.

    Examples:
      [cyan]genkit data preview photos/ --out sheet.png[/]
      [cyan]genkit data preview faces data.image_size=128 --out faces.png --count 40[/]
      [cyan]genkit data preview configs/cgan/glyphs.yaml --split test --out sheet.png[/]
    """
    from genkit.verbs.preview import preview as write_sheet

    made = write_sheet(source, out, overrides=overrides or (), split=split, count=count, seed=seed)
    typer.echo(f"{made.name}: {made.shown:,} of {made.total:,} on {shown(made.path)}")


@app.command()
def encode(
    config: Annotated[Path, typer.Argument(help="A config of a family that learns from latents.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="a.b=value ...", help="Settings laid over it."),
    ] = None,
) -> None:
    """Encode the pictures and captions of a config, as its training would do first.

    They are kept in the user's cache folder, each by its content and the weights of the networks
    that read it: of a set in which one picture changed, that one is encoded anew.

    Examples:
      [cyan]genkit data encode configs/stable_diffusion/lora.yaml data.root=photos[/]
    """
    from genkit.verbs.encode import encode

    typer.echo(f"{encode(config, overrides or ()):,} rows are encoded")


def _table(found: Inspection) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(show_header=False, box=box.SIMPLE)
    table.add_column()
    table.add_column(overflow="fold")  # and no path is cut
    table.add_row(found.kind, shown(found.path))
    table.add_row("images", f"{found.count:,}")
    if found.parts:
        table.add_row("parts", _counts(found.parts))
    table.add_row("sizes", _counts(found.sizes))
    table.add_row("modes", _counts(found.modes))
    table.add_row("classes", _classes(found) or "none")
    if found.attributes:
        shares = (f"{name}: {n:,}" for name, n in found.attributes.items())
        table.add_row("attributes", ", ".join(shown(share, 60) for share in shares))
    if found.empty:
        table.add_row("without image", _some(found.empty))
    if found.captions:
        table.add_row("captions", _captions(found))
    if found.columns:
        table.add_row("metadata.jsonl", _some(found.columns))
    doubles = sum(len(names) - 1 for names in found.duplicates)
    table.add_row("duplicates", f"{doubles:,} in {len(found.duplicates):,} groups")
    table.add_row("broken", f"{len(found.broken):,}")
    table.add_row("left out", found.left_out.sentence(examples=True))
    return table


def _counts(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name}: {count:,}" for name, count in ranked[:_SHOWN]]
    more = [f"and {len(ranked) - _SHOWN} more"] if len(ranked) > _SHOWN else []
    return ", ".join(shown + more)


def _captions(found: Inspection) -> str:
    """How many there are, how long, and which picture is the first that has none."""
    said = found.captions
    least, middle, most = said["words"]
    words = f"{said['texts']:,} of {least} to {most} words, half of them up to {middle}"
    if said["without"]:
        words += f"; {said['without']:,} images have none, the first is {said['first_without']}"
    return shown(words, 300)


def _classes(found: Inspection) -> str:
    """Number, name and count of each class, in the order of their numbers."""
    words = []
    for name, number in found.numbers.items():
        called = name if name == str(number) else f"{number} {name}"
        words.append(f"{called}: {found.classes[name]:,}")
    return _some(words)


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return ", ".join(shown(word, 60) for word in words[:_SHOWN]) + more


def _print_some(title: str, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        typer.echo(f"{title}: {shown(line, 2_000)}")
    if len(lines) > _SHOWN:
        typer.echo(f"{title}: and {len(lines) - _SHOWN} more; --json lists them all")
