"""`genkit compare`: is one run better than another, and may the two be compared at all?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    from genkit.report.record import Metric, read_run
    from genkit.report.words import number

    runs = [read_run(path) for path in (first, second)]
    metrics: list[dict[str, Metric]] = []
    for run in runs:
        if run.evaluation is None:
            raise EvaluationError(
                f"{run.path} has no evaluation.json; run `genkit evaluate {run.path}/samples.npz`"
            )
        metrics.append({found.name: found for found in run.evaluation.metrics})
    shared = [name for name in metrics[0] if name in metrics[1]]
    if metric is not None:
        if metric not in shared:
            raise EvaluationError(
                f"{metric} was not measured in both; measured in both: {', '.join(shared) or '-'}"
            )
        shared = [metric]
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
