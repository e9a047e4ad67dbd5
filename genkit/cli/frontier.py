"""`genkit frontier`: how much quality each way of sampling buys with how much time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from genkit.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

N = TypeVar("N")


class Precision(str, Enum):
    """What the network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


Run = Annotated[Path, typer.Argument(help="Run or export folder of a diffusion model.")]
Schedulers = Annotated[
    str | None,
    typer.Option(help="E.g. ddim,unipc; default a few that fit the model.", metavar="NAMES"),
]
Steps = Annotated[
    str | None, typer.Option(help="Default 5,10,20,50.", metavar="NUMBERS", show_default=False)
]
Guidance = Annotated[
    str | None,
    typer.Option(help="Default 1,2 with classes, 1 without.", metavar="SCALES"),
]
Precisions = Annotated[
    str | None,
    typer.Option(help="Default fp32,bf16 where bf16 is faster.", metavar="NAMES"),
]
Count = Annotated[int, typer.Option(min=100, help="Images per setting.")]
Seed = Annotated[int, typer.Option(help="Names their noise.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images made at a time.")]
Reference = Annotated[
    str | None,
    typer.Option(metavar="SET", help="Real images; default the test part of the run's data."),
]
Root = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of mnist or cifar10; default the user's cache."),
]
Extractor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="One of those of genkit evaluate; auto = what suits the real images.",
    ),
]
Device = Annotated[
    str | None, typer.Option(help="E.g. cpu, cuda:1; default a GPU if there is one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def frontier(
    run: Run,
    *,
    schedulers: Schedulers = None,
    steps: Steps = None,
    guidance: Guidance = None,
    precision: Precisions = None,
    count: Count = 2000,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    reference: Reference = None,
    root: Root = None,
    extractor: Extractor = "auto",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure quality and speed of each scheduler, number of steps, guidance and precision.

    Writes frontier.json and frontier.png into the folder; the report shows them. Interrupted or
    given other schedulers, steps, guidance or precision later, it keeps the rows that are there;
    other images, weights or another extractor begin it anew. Settings are timed by turns.

    Examples:
      [cyan]genkit frontier runs/digits[/]
      [cyan]genkit frontier runs/digits --schedulers ddim,unipc --steps 10,20 --guidance 1,2,4[/]
      [cyan]genkit frontier runs/cifar10 --reference cifar10:test --extractor inception-v3 --json[/]
    """
    from rich.console import Console

    from genkit.machine import keep_freed_memory
    from genkit.verbs.frontier import measure_frontier
    from genkit.verbs.sample import usable_device

    keep_freed_memory()
    with _bar() as advance:
        found = measure_frontier(
            run,
            solvers=_list("schedulers", schedulers, str),
            steps=_list("steps", steps, int),
            guidance=_list("guidance", guidance, float),
            precision=_list("precision", precision, lambda name: Precision(name).value),
            count=count,
            seed=seed,
            batch_size=batch_size,
            reference=reference,
            root=root,
            extractor=extractor,
            device=usable_device(device),
            progress=advance,
        )
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    Console(markup=False, emoji=False).print(_table(found))
    typer.echo(
        f"* Pareto set. evals: of the network for one image. Speed: {found['speed']['how']}."
    )
    for line in _warnings(found):
        typer.echo(line)
    typer.echo(f"{run / 'frontier.json'}\n{run / 'frontier.png'}")


def _warnings(found: dict[str, Any]) -> list[str]:
    """What must be known of the metrics, once for all rows."""
    metrics = [metric for row in found["rows"] for metric in row["metrics"]]
    return list(dict.fromkeys(f"{m['name']}: {m['note']}" for m in metrics if m["note"]))


def _list(option: str, text: str | None, kind: Callable[[str], N]) -> list[N] | None:
    """The values of "5,10,20"."""
    if text is None:
        return None
    values = []
    for piece in text.split(","):
        try:
            values.append(kind(piece.strip()))
        except ValueError:
            example = {"steps": "5,10,20", "guidance": "1,2.5", "precision": "fp32,bf16"}
            wanted = f"write for example {example.get(option, 'ddim,unipc')}"
            raise ConfigError(f"--{option} {text!r}: {piece.strip()!r} is none; {wanted}") from None
    return values


def _table(found: dict[str, Any]) -> Table:
    from rich.table import Table

    from genkit.report.words import frontier_metrics, number

    reference, where = found["reference"]["name"], found["machine"]
    on = ", ".join(where["devices"]) or f"{where['threads']} threads of {where['cpu']}"
    title = f"{found['count']:,} images each against {reference}; speed on {on}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "scheduler"):
        table.add_column(name, no_wrap=True)
    names = [metric["name"] for metric in found["rows"][0]["metrics"]]
    shown = frontier_metrics(names, found["quality"])
    for name in ("steps", "guidance", "precision", "evals", "images/s", *shown):
        table.add_column(name, justify="right")
    for row in found["rows"]:
        values = {metric["name"]: number(metric["value"]) for metric in row["metrics"]}
        table.add_row(
            *("*" if row["pareto"] else "", row["scheduler"], str(row["steps"])),
            *(f"{row['guidance']:g}", row["precision"], str(row["evaluations"])),
            *(f"{row['images_per_s']:.3g}", *(values.get(name, "–") for name in shown)),
        )
    return table


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    columns = (TextColumn("frontier"), BarColumn(), TaskProgressColumn(), TimeLeft())
    with Progress(
        *columns, TextColumn("left"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
