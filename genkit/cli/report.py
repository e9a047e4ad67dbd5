"""`genkit report`: run folders become one page."""

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
) -> None:
    """Write one HTML page with the pictures, metrics, curves and settings of runs.

    Examples:
      [cyan]genkit report runs/glyphs[/]
      [cyan]genkit report runs/a runs/b --out compare.html[/]
    """
    from genkit.report import write_report

    typer.echo(write_report(runs, out))
