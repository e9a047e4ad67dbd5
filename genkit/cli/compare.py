"""`genkit compare`: is one run better than another, and may the two be compared at all?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genkit.report.record import Metric, Record


def compare(
    first: Annotated[Path, typer.Argument(help="A run folder that was evaluated.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    *,
    metric: Annotated[
        str | None, typer.Option(help="Only this one; an error if the protocols differ.")
    ] = None,
) -> None:
    """Show by how much two runs differ in each metric that was measured by one protocol.

    Metrics of different protocols are not compared; the fields in which they differ are listed.

    Examples:
      [cyan]genkit compare runs/a runs/b[/]
      [cyan]genkit compare runs/a runs/b --metric fd-digits[/]
    """
    from rich.console import Console
    from rich.table import Table

    from genkit.errors import EvaluationError
    from genkit.report.compare import Difference, difference
    from genkit.report.record import read_run
    from genkit.report.words import number

    runs = [read_run(path) for path in (first, second)]
    metrics = [_metrics(run) for run in runs]
    shared = _shared(metrics, [run.name for run in runs], metric)
    alone = [name for name in (*metrics[0], *metrics[1]) if name not in (*shared, metric)]
    table = Table(title=f"{runs[0].name} minus {runs[1].name}", title_justify="left")
    table.add_column("metric")
    for name in ("first", "second", "difference", "95 % interval"):
        table.add_column(name, justify="right")
    table.add_column("better")
    refused = []
    for name in shared:
        ours, theirs = metrics[0][name], metrics[1][name]
        try:
            found: Difference = difference(ours, theirs)
        except EvaluationError as error:
            if metric is not None:
                raise
            refused.append(str(error))
            continue
        ends = "–" if found.low is None else f"{number(found.low)} – {number(found.high)}"
        row = [number(ours.value), number(theirs.value), number(found.value), ends]
        table.add_row(name, *row, found.better(runs[0].name, runs[1].name))
    Console().print(table)
    for line in refused:
        typer.echo(line)
    if alone and metric is None:
        typer.echo(f"measured in one of them only: {', '.join(alone)}")


def _metrics(run: Record) -> dict[str, Metric]:
    from genkit.errors import EvaluationError

    if run.evaluation is None:
        raise EvaluationError(
            f"{run.path} has no evaluation.json; run `genkit evaluate {run.path}/samples.npz "
            "--reference SET`"
        )
    return {found.name: found for found in run.evaluation.metrics}


def _shared(metrics: list[dict[str, Metric]], names: list[str], only: str | None) -> list[str]:
    """Metrics that were measured in both runs, or the one that was asked for."""
    from genkit.errors import EvaluationError

    shared = [name for name in metrics[0] if name in metrics[1]]
    if not shared:
        lists = [f"{', '.join(m)} in {run}" for m, run in zip(metrics, names, strict=True)]
        raise EvaluationError(
            f"no metric was measured in both runs: {'; '.join(lists)}. Evaluate one of them like "
            "the other"
        )
    if only is not None and only not in shared:
        raise EvaluationError(
            f"{only} was not measured in both; measured in both: {', '.join(shared)}"
        )
    return shared if only is None else [only]
