"""`genkit report`: run folders become one page, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="HTML file; default report.html in the run, or beside several runs."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the values as Markdown instead of a page.")
    ] = False,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print them as a LaTeX table (booktabs).")
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print a line for each value with its protocol.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Write one HTML page with the pictures, metrics, curves and settings of runs.

    Of several runs it begins with a leaderboard: a table to sort, intervals, quality against
    training time and sampling speed. Values of different protocols are never in one column.

    Examples:
      [cyan]genkit report runs/glyphs[/]
      [cyan]genkit report runs/a runs/b --out compare.html[/]
      [cyan]genkit report runs/a runs/b --latex > table.tex[/]
    """
    from genkit.errors import ConfigError
    from genkit.report import tables, write_report

    writers = [
        (markdown, tables.markdown),
        (latex, tables.latex),
        (csv, tables.as_csv),
        (as_json, tables.as_json),
    ]
    chosen = [writer for is_asked, writer in writers if is_asked]
    if len(chosen) > 1 or (chosen and out is not None):
        raise ConfigError("report: give one of --out, --markdown, --latex, --csv and --json")
    if not chosen:
        typer.echo(write_report(runs, out))
        return
    from genkit.report.compare import compare
    from genkit.report.record import read_run

    records = [read_run(run) for run in runs]
    typer.echo(chosen[0](records, compare(records)), nl=False)
