"""`genkit evaluate`: samples and real images become numbers that can be trusted."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from genkit.evaluation import Evaluation


class Extractor(str, Enum):
    """What turns images into features."""

    digits = "digits"
    inception = "inception"


def evaluate(
    samples: Annotated[Path, typer.Argument(help="Folder, .npz or .tar of generated images.")],
    *,
    reference: Annotated[
        str, typer.Option(metavar="SET", help="Real images that were not trained on.")
    ],
    train: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Images trained on: floors, near copies, neighbours."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of mnist or cifar10; default the user's cache.")
    ] = None,
    extractor: Annotated[
        list[Extractor] | None,
        typer.Option(help="Features; may be given twice. Default digits.", show_default=False),
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Inception weights; default the user's cache.")
    ] = None,
    reference_count: Annotated[
        int | None, typer.Option(min=1, help="Use so many reference images; default all.")
    ] = None,
    parzen: Annotated[
        bool,
        typer.Option("--parzen", help="Also the Parzen log-likelihood; needs --train."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file; default evaluation.json in the run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure samples against real images: quality, variety, copies, each with an interval.

    A SET is synthetic:glyphs:test, stacked:test, stacked:mnist:test, mnist:test, cifar10:test, a
    folder, .npz or .tar. Against stacked digits the modes that samples show are counted too.

    Examples:
      [cyan]genkit evaluate runs/glyphs/samples.npz --reference synthetic:glyphs:test[/]
      [cyan]genkit evaluate runs/a/samples.npz --reference mnist:test --train mnist:train[/]
      [cyan]genkit evaluate runs/a/samples.npz --reference mnist:test --reference-count 2000[/]
      [cyan]genkit evaluate runs/stacked/samples.npz --reference stacked:test[/]
      [cyan]genkit evaluate a.npz --reference mnist:test --train mnist:train --parzen[/]
      [cyan]genkit evaluate samples/ --reference real/ --extractor inception --json[/]
    """
    from rich.console import Console

    from genkit.runs import evaluate_samples

    found = evaluate_samples(
        samples,
        reference,
        train=train,
        root=data,
        extractors=[kind.value for kind in extractor or [Extractor.digits]],
        inception=inception,
        reference_count=reference_count,
        parzen=parzen,
        out=out,
    )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        Console().print(_table(found))
        for note in found.notes:
            typer.echo(note)


def _table(found: Evaluation) -> Table:
    from rich.table import Table

    from genkit.report.words import number

    sizes = f"{found.samples['count']:,} samples against {found.reference['name']}"
    table = Table(title=sizes, title_justify="left")
    table.add_column("metric")
    for name in ("value", "95 % interval", "floor"):
        table.add_column(name, justify="right")
    table.add_column("better")
    for metric in found.metrics:
        ends = "–"
        if metric.low is not None:
            ends = f"{number(metric.low)} – {number(metric.high)}"
        row = [metric.name, number(metric.value), ends, number(metric.floor), metric.better]
        table.add_row(*row)
    return table
