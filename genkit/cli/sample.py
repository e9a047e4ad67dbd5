"""`genkit sample`: images from a run, an export folder or a model on the Hub."""

from __future__ import annotations

import json as json_format
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.errors import PipelineError

COUNT = 10_000

Count = Annotated[
    int | None, typer.Option(min=1, help=f"Images in all; default {COUNT}.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE.npz|FILE.tar",
        help="Where they go; default RUN/samples.npz.",
        show_default=False,
    ),
]


def sample(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, export folder or Hub id.")
    ],
    *,
    count: Count = None,
    seed: Annotated[int, typer.Option(help="Names the noise of every image.")] = 0,
    labels: Annotated[
        str | None, typer.Option(help="Classes, e.g. 3 or 0-9 or 1,3,5-7; default all in turn.")
    ] = None,
    out: Out = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images made at a time.")] = 64,
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="A sheet, one row per class.")
    ] = None,
    interpolate: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|FILE.gif", help="A walk between samples: strip or film."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="E.g. cpu, cuda:1; default a GPU if there is one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Draw samples. Image i of a seed is the same whatever the count, batch size or processes.

    An interrupted run goes on where it stopped: give the same command again.
    With --grid or --interpolate, and neither --count nor --out, only those are made.

    Examples:
      [cyan]genkit sample runs/glyphs --count 10000 --labels 0-9[/]
      [cyan]genkit sample runs/glyphs --count 500 --labels 3,7 --out threes-and-sevens[/]
      [cyan]genkit sample runs/glyphs --out samples.tar --processes 2[/]
      [cyan]genkit sample runs/glyphs --grid sheet.png --interpolate walk.gif[/]

    On several GPUs: [cyan]accelerate launch sample/run.py RUN --count 50000[/]
    """
    from genkit.machine import keep_freed_memory
    from genkit.pipelines import load_pipeline, parse_labels

    keep_freed_memory()
    ranks = _Ranks.seen(processes)
    pictures_only = (grid is not None or interpolate is not None) and count is None and out is None
    target = None if pictures_only else (out or _default_out(source))
    classes = None if labels is None else parse_labels(labels)
    pipeline = load_pipeline(source, device=_device(device, ranks.rank))
    result: dict[str, Any] = {"source": source, "seed": seed, "labels": classes}
    if target is not None:
        job = _Job(source, target, count or COUNT, seed, classes, batch_size, device)
        result |= _draw(pipeline, job, ranks)
    if not ranks.is_first:
        return
    result |= _pictures(
        pipeline, grid, interpolate, seed=seed, labels=classes, batch_size=batch_size
    )
    if json:
        typer.echo(json_format.dumps(result))
    else:
        typer.echo("\n".join(result[k] for k in ("out", "grid", "interpolation") if k in result))


def _pictures(
    pipeline: Any, grid: Path | None, interpolation: Path | None, **options: Any
) -> dict[str, str]:
    """Where the asked pictures are, after they were made."""
    from genkit.pipelines import save_grid, save_interpolation

    made = {}
    if grid is not None:
        made["grid"] = str(save_grid(pipeline, grid, **options))
    if interpolation is not None:
        made["interpolation"] = str(save_interpolation(pipeline, interpolation, **options))
    return made


@dataclass(frozen=True)
class _Ranks:
    """Which of how many processes this one is, and whether it starts the others itself."""

    rank: int
    count: int
    starts_others: bool

    @classmethod
    def seen(cls, asked: int) -> _Ranks:
        """From --processes, or from the variables that `accelerate launch` sets."""
        launched = int(os.environ.get("WORLD_SIZE", 1))
        if launched == 1:
            return cls(0, asked, asked > 1)
        if asked > 1:
            raise PipelineError(
                f"--processes {asked}: this is already one of {launched} processes; "
                "leave --processes out under a launcher"
            )
        return cls(int(os.environ.get("RANK", 0)), launched, False)

    @property
    def is_first(self) -> bool:
        """Whether this process finishes the samples and speaks to the user."""
        return self.rank == 0


@dataclass(frozen=True)
class _Job:
    """The samples of one command."""

    source: str
    out: Path
    count: int
    seed: int
    labels: list[int] | None
    batch_size: int
    device: str | None

    def command(self) -> list[str]:
        """The command line that draws them."""
        options: dict[str, Any] = {
            "--count": self.count,
            "--seed": self.seed,
            "--out": self.out,
            "--batch-size": self.batch_size,
        }
        if self.labels is not None:
            options["--labels"] = ",".join(map(str, self.labels))
        if self.device is not None:
            options["--device"] = self.device
        words = [f"{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "genkit", "sample", *words, "--", self.source]


def _draw(pipeline: Any, job: _Job, ranks: _Ranks) -> dict[str, Any]:
    """Make and finish the samples; what a script would want to know about it."""
    from genkit.pipelines.samples import begin_samples, finish_samples, write_samples

    spec: dict[str, Any] = {"count": job.count, "seed": job.seed, "labels": job.labels}
    begun = time.perf_counter()
    written = 0
    if begin_samples(pipeline, job.out, **spec):
        share: dict[str, Any] = {
            "batch_size": job.batch_size,
            "rank": ranks.rank,
            "processes": ranks.count,
        }
        with _workers(job, ranks) as workers, _bar(job, ranks) as advance:
            written = advance.total

            def progress(images: int) -> None:
                workers.check()
                advance(images)

            write_samples(pipeline, job.out, **spec, **share, progress=progress)
            workers.wait()
            if ranks.is_first and ranks.count > 1:
                _wait_for_ranks(job)
                finish_samples(job.out)
    seconds = time.perf_counter() - begun
    return {
        "out": str(job.out),
        "count": job.count,
        "written": written,
        "seconds": round(seconds, 3),
        "images_per_s": round(written / seconds, 1),
    }


# -- several processes -----------------------------------------------------------------------------


class _Workers:
    """Processes 1..N-1 of a command that was started as one."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], rank: int, processes: int) -> None:
        """One more process of the same command; its errors go where ours go."""
        own = {"RANK": rank, "WORLD_SIZE": processes, "OMP_NUM_THREADS": _threads(processes)}
        environment = os.environ | {name: str(value) for name, value in own.items()}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self._started.append(process)

    def check(self) -> None:
        """Raise if a process failed."""
        for rank, process in enumerate(self._started, start=1):
            if process.poll() not in (None, 0):
                raise PipelineError(
                    f"process {rank} of {len(self._started) + 1} ended with status "
                    f"{process.returncode} (its message is above); what is written is kept: "
                    "run the same command again"
                )

    def wait(self) -> None:
        """Return when all are through."""
        while any(process.poll() is None for process in self._started):
            self.check()
            time.sleep(0.05)
        self.check()

    def end(self) -> None:
        """Stop those that still run."""
        for process in self._started:
            process.terminate()
            process.wait()


@contextmanager
def _workers(job: _Job, ranks: _Ranks) -> Iterator[_Workers]:
    import torch

    workers, threads = _Workers(), torch.get_num_threads()
    try:
        if ranks.starts_others:
            torch.set_num_threads(_threads(ranks.count))
            for rank in range(1, ranks.count):
                workers.start(job.command(), rank, ranks.count)
        yield workers
    finally:
        workers.end()
        torch.set_num_threads(threads)


def _wait_for_ranks(job: _Job) -> None:
    """Until the last image of the other ranks is there. If one fails, the launcher ends us all."""
    from genkit.pipelines.samples import missing_samples

    while missing_samples(job.out, batch_size=job.batch_size):
        time.sleep(0.2)


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def _device(asked: str | None, rank: int) -> str:
    """The device asked for if it works; by default this rank's GPU, or the CPU."""
    import torch

    if asked is None:
        local = int(os.environ.get("LOCAL_RANK", rank))
        cuda = torch.cuda.is_available()
        return f"cuda:{local % torch.cuda.device_count()}" if cuda else "cpu"
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise PipelineError(
            f"--device {asked}: not usable here ({str(error).splitlines()[0]}); "
            "`genkit doctor` lists the devices"
        ) from None
    return asked


def _default_out(source: str) -> Path:
    from genkit.pipelines.loading import is_run

    if not is_run(Path(source)):
        raise PipelineError(f"{source}: not a run folder, so say where samples go: --out DIR")
    return Path(source) / "samples.npz"


# -- progress --------------------------------------------------------------------------------------


class _Advance:
    """Counts images of all processes from those of this one, as all are equally fast."""

    def __init__(self, total: int, own: int, tell: Callable[[float], Any]) -> None:
        self.total = total
        self._each = total / max(own, 1)
        self._tell = tell

    def __call__(self, images: int) -> None:
        self._tell(images * self._each)


@contextmanager
def _bar(job: _Job, ranks: _Ranks) -> Iterator[_Advance]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from genkit.pipelines.samples import missing_samples

    share = {"batch_size": job.batch_size, "rank": ranks.rank, "processes": ranks.count}
    total = missing_samples(job.out, batch_size=job.batch_size)
    own = missing_samples(job.out, **share)
    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), TextColumn("{task.fields[rate]} images/s ·"), TimeLeft())
    with Progress(
        TextColumn("sampling"),
        BarColumn(),
        *columns,
        TextColumn("left"),
        console=console,
        disable=not (ranks.is_first and console.is_terminal),
    ) as bar:
        task = bar.add_task("", total=job.count, completed=job.count - total, rate="?")
        begun = time.perf_counter()
        done = 0.0

        def tell(images: float) -> None:
            nonlocal done
            done += images
            bar.update(task, advance=images, rate=f"{done / (time.perf_counter() - begun):.0f}")

        yield _Advance(total, own, tell)
