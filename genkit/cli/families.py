"""`genkit families`: what can be trained."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from genkit.errors import shown


def families(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False
) -> None:
    """List the model families.

    Each has configs under configs/FAMILY/.

    Examples:
      [cyan]genkit families[/]
      [cyan]genkit families --json[/]
      [cyan]genkit config schema cgan[/]  every setting of one of them
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from genkit.family import module_name, names

    if as_json:
        found = [
            {"name": name, "module": module_name(name), "about": _first_line(module_name(name))}
            for name in names()
        ]
        typer.echo(json.dumps(found, indent=1))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in names():
        table.add_row(f"[cyan]{name}[/]", escape(_first_line(module_name(name))))
    Console(emoji=False).print(table)


def _first_line(module: str) -> str:
    # Parsed, not imported: a family imports torch, and listing names should take no seconds.
    try:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            return f"(module {module} is missing)"
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        return f"(module {module} can't be read: {shown(error)})"
    return (ast.get_docstring(tree) or "").partition("\n")[0]
