"""The command line: `genkit VERB`, one file per verb.

A verb imports what it needs when it runs, so that `genkit --help` answers at once.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from genkit import __version__, launch
from genkit.cli.again import again
from genkit.cli.classify import classify
from genkit.cli.compare import compare
from genkit.cli.config import app as config
from genkit.cli.data import app as data
from genkit.cli.edit import edit
from genkit.cli.evaluate import evaluate
from genkit.cli.export import export
from genkit.cli.families import families
from genkit.cli.frontier import frontier
from genkit.cli.imports import app as imports
from genkit.cli.kept import Kept
from genkit.cli.lora import app as lora
from genkit.cli.machine import doctor, machine
from genkit.cli.report import report
from genkit.cli.sample import sample
from genkit.cli.search import search
from genkit.cli.train import train
from genkit.cli.translate import translate
from genkit.errors import UNFINISHED, GenkitError, Unfinished, shown_lines
from genkit.launch.output import handler, lost_output, printed
from genkit.launch.signals import end_with_work

_EMPTY = re.compile(r"^(--[\w-]+=)?$")
_OF_HOME = re.compile(r"^((?:--[\w-]+=)?)~(?=/|$)")


class _Group(TyperGroup):
    """Verbs whose `GenkitError` becomes one message and exit status 2, `Unfinished` one and 75."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `--debug` wherever it stands: before the verb or behind it; and ~ at the start of a
        path, which a shell leaves as it is in --out=~/x. An empty word is refused: as a path it
        would mean the current folder.
        """
        args = [_OF_HOME.sub(lambda m: m[1] + os.path.expanduser("~"), each) for each in args]
        if (empty := next((each for each in args if _EMPTY.match(each)), None)) is not None:
            named = f" for {empty[:-1]}" if empty else ""
            _end(f"an empty word{named}: a variable of the shell that is not set?", 2)
        ours = args[: args.index("--")] if "--" in args else args
        if "--debug" in ours:
            args = ["--debug", *(a for a in ours if a != "--debug"), *args[len(ours) :]]
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
        except GenkitError as error:
            if ctx.params.get("debug"):
                raise
            _end(str(error), 2)
        except Unfinished as stopped:
            _end(str(stopped) if launch.ranks().is_first else "", UNFINISHED)
        if (why := lost_output()) is not None:
            _end(f"standard output can't be written ({why}), and it is the result", 1)
        return result


def _end(message: str, status: int) -> NoReturn:
    if message:
        typer.echo(f"genkit: {shown_lines(message)}", err=True)
    if launch.in_group():
        launch.leave(status)
    raise typer.Exit(status) from None


app = typer.Typer(
    name="genkit",
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Kept)(train)
app.command(cls=Kept)(export)
app.command(cls=Kept)(sample)
app.command(cls=Kept)(translate)
app.command(cls=Kept)(edit)
app.command(cls=Kept)(again)
app.command()(classify)
app.command()(search)
app.command(cls=Kept)(evaluate)
app.command(cls=Kept)(frontier)
app.command()(report)
app.command()(compare)
app.command()(families)
app.add_typer(config, name="config")
app.add_typer(data, name="data")
app.add_typer(imports, name="import")
app.add_typer(lora, name="lora")
app.command()(machine)
app.command(hidden=True)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"genkit {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Train, sample and evaluate generative models of images.

    The straight line, from a config to a report:

    [cyan]genkit train configs/cgan/glyphs.yaml --out runs/glyphs[/]
    [cyan]genkit export runs/glyphs[/]
    [cyan]genkit sample runs/glyphs --count 2000 --out runs/glyphs/samples.npz[/]
    [cyan]genkit evaluate runs/glyphs/samples.npz --reference synthetic:glyphs:test[/]
    [cyan]genkit report runs/glyphs[/]
    """
    _log_to_terminal(debug=debug)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; without arguments, those that the process was started with."""
    if arguments is None:
        end_with_work()
    with printed():
        app(args=None if arguments is None else list(arguments), prog_name="genkit")


def _log_to_terminal(*, debug: bool) -> None:
    # Of several processes only the first one speaks, unless something is wrong.
    first = launch.ranks().is_first
    logger = logging.getLogger("genkit")
    logger.setLevel(logging.DEBUG if debug else logging.INFO if first else logging.WARNING)
    logger.handlers = [handler()]
    logger.propagate = False
