"""`genkit machine`: what works on this machine; `genkit doctor` is its former name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genkit.verbs.machine import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def machine(*, as_json: AsJson = False) -> None:
    """Check versions, devices, precision, caches and folders.

    The exit status is 1 if genkit can't work.

    Examples:
      [cyan]genkit machine[/]
      [cyan]genkit machine --json[/]
    """
    from genkit.verbs.machine import examine

    checks = examine()
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, indent=1))
    else:
        _print(checks)
    if failed:
        raise typer.Exit(1)


def doctor(*, as_json: AsJson = False) -> None:
    """Check this machine: the former name of `genkit machine`."""
    typer.echo("genkit doctor: its name is now `genkit machine`", err=True)
    machine(as_json=as_json)


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "state")
    for column in ("found", "what it means, what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        status = f"[{_STYLES[check.status]}]{check.status}[/]"
        table.add_row(check.name, status, escape(check.detail), escape(check.advice))
    Console(emoji=False).print(table)
