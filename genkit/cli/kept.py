"""Verbs whose results lie on the disk, so that printing their names is a courtesy."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from genkit.launch.output import lost_output


class Kept(TyperCommand):
    """A verb that ends well even if nobody takes what it prints; that is said in one sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        result = super().invoke(ctx)
        if (why := lost_output()) is not None:
            said = f"standard output can't be written ({why}); the results themselves are complete"
            typer.echo(f"genkit: {said}", err=True)
            raise typer.Exit(0)
        return result
