"""`genkit report`: run folders and evaluations become one page, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genkit.report.compare import Comparison
    from genkit.report.record import Record


_LONGEST = 4096  # letters of a path that is printed whole


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders; NAME-evaluation.json, or the samples that lie beside one.",
            show_default=False,
        ),
    ],
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
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this column, e.g. fid or recall; may be given several times.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=12,
            help="Digits behind the point in --markdown and --latex.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write one HTML page with the pictures, metrics, curves and settings of runs.

    Of several runs it begins with a leaderboard: a table to sort, intervals, quality against
    training time and sampling speed. Values of different protocols are never in one column, and
    the best of each column is bold. Samples of other models stand beside runs by their evaluation.

    Examples:
      [cyan]genkit report runs/glyphs[/]
      [cyan]genkit report runs/* --out compare.html[/]
      [cyan]genkit report runs/a runs/b --latex > table.tex[/]
      [cyan]genkit report runs/a pngs-evaluation.json --metric fid --metric recall --latex[/]
    """
    from genkit.errors import ConfigError, shown
    from genkit.report import tables, write_report

    forms = {"--markdown": markdown, "--latex": latex, "--csv": csv, "--json": as_json}
    chosen = [form for form, is_asked in forms.items() if is_asked]
    if len(chosen) > 1 or (chosen and out is not None):
        raise ConfigError("report: give one of --out, --markdown, --latex, --csv and --json")
    if precision is not None and chosen not in (["--markdown"], ["--latex"]):
        raise ConfigError("report: --precision says how --markdown and --latex round; give one")
    if not chosen:
        typer.echo(shown(write_report(runs, out, metrics=metric or ()), _LONGEST))
        return
    from genkit.report.compare import compare
    from genkit.report.subjects import read_subjects

    records = read_subjects(runs)
    found = compare(records, metric or ())
    _say_notes(records, found)
    if markdown or latex:
        write = tables.markdown if markdown else tables.latex
        typer.echo(write(records, found, digits=precision), nl=False)
        return
    typer.echo((tables.as_csv if csv else tables.as_json)(records, found), nl=False)


def _say_notes(records: list[Record], found: Comparison) -> None:
    """What a table can't say: files that were left out, runs without a value."""
    for place, record in enumerate(records):
        for note in record.notes:
            typer.echo(f"{record.name}: {note}", err=True)
        if all(column.cells[place] is None for column in found.columns):
            typer.echo(f"{record.name}: it has no value in this table", err=True)
