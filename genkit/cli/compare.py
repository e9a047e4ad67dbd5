"""`genkit compare`: is one run better than another, and may the two be compared at all?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genkit.report.parts import Metric
    from genkit.report.record import Record

_RUN = "A run folder that was evaluated; or NAME-evaluation.json, or the samples beside one."


def compare(
    first: Annotated[Path, typer.Argument(help=_RUN, show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this, an error if the protocols differ; may be given several times.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        int | None,
        typer.Option(min=0, max=12, help="Digits behind the point.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, numbers in full, instead of a table.")
    ] = False,
) -> None:
    """Show by how much two runs differ in each metric that was measured by one protocol.

    Metrics of different protocols are not compared; the fields in which they differ are listed.

    Examples:
      [cyan]genkit compare runs/a runs/b[/]
      [cyan]genkit compare runs/a runs/b --metric fd-digits[/]
      [cyan]genkit compare pngs-evaluation.json runs/b[/]
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from genkit.errors import EvaluationError
    from genkit.report.compare import difference
    from genkit.report.words import number

    runs = _two(first, second)
    metrics = [_metrics(run) for run in runs]
    shared = _shared(metrics, [run.name for run in runs], metric or ())
    table = Table(title=Text(f"{runs[0].name} minus {runs[1].name}"), title_justify="left")
    table.add_column("metric")
    for name in (runs[0].name, runs[1].name, "difference", "95 % interval"):
        table.add_column(Text(name), justify="right")
    table.add_column("better")
    refused, rows = [], []
    for name in shared:
        ours, theirs = metrics[0][name], metrics[1][name]
        try:
            found = difference(ours, theirs)
        except EvaluationError as error:
            if metric:
                raise
            refused.append(str(error))
            continue
        better = found.better(runs[0].name, runs[1].name)
        rows.append(
            {
                "metric": name, "first": ours.value, "second": theirs.value,
                "difference": found.value, "low": found.low, "high": found.high, "better": better,
            }
        )  # fmt: skip
        numbers = [number(v, precision) for v in (ours.value, theirs.value, found.value)]
        ends = [number(v, precision) for v in (found.low, found.high)]
        row = [name, *numbers, "–" if found.low is None else " – ".join(ends),
               better]  # fmt: skip
        table.add_row(*map(Text, row))
    both = metrics[0].keys() & metrics[1].keys()
    alone = [name for name in (*metrics[0], *metrics[1]) if name not in both]
    if alone and not metric:
        refused.append(f"measured in one of them only: {', '.join(alone)}")
    if as_json:
        named = {"first": runs[0].name, "second": runs[1].name}
        typer.echo(json.dumps({**named, "metrics": rows, "notes": refused}, indent=1))
        return
    Console().print(table)
    for line in refused:
        typer.echo(line)


def _two(first: Path, second: Path) -> list[Record]:
    from genkit.errors import EvaluationError, shown
    from genkit.report.subjects import named_apart, read_subject

    records = [read_subject(path) for path in (first, second)]
    if records[0].path.resolve() == records[1].path.resolve():
        raise EvaluationError(f"{shown(first)} and {shown(second)} are the same; name two runs")
    return named_apart(records)


def _metrics(run: Record) -> dict[str, Metric]:
    from genkit.errors import EvaluationError, shown
    from genkit.report.subjects import quoted

    if run.evaluation is not None:
        return {shown(found.name): found for found in run.evaluation.metrics}
    broken = next((note for note in run.notes if note.startswith("evaluation.json")), None)
    if broken is not None:
        raise EvaluationError(
            f"{shown(run.path)}: {broken}; mend the file, or move it away and measure anew: "
            f"genkit evaluate {quoted(run.path)}"
        )
    raise EvaluationError(
        f"{shown(run.path)} has no evaluation.json; measure it: genkit evaluate {quoted(run.path)}"
    )


def _shared(metrics: list[dict[str, Metric]], names: list[str], only: Sequence[str]) -> list[str]:
    """Metrics that were measured in both runs, or those that were asked for."""
    from genkit.errors import EvaluationError

    shared = [name for name in metrics[0] if name in metrics[1]]
    if not shared:
        lists = [f"{', '.join(m)} in {run}" for m, run in zip(metrics, names, strict=True)]
        raise EvaluationError(
            f"no metric was measured in both: {'; '.join(lists)}. Evaluate one of them like "
            "the other"
        )
    for name in only:
        if name not in shared:
            raise EvaluationError(
                f"{name} was not measured in both; measured in both: {', '.join(shared)}"
            )
    whole = [name for name in shared if metrics[0][name].part is None]
    return list(only) or whole or shared
