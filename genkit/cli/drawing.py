"""Samples drawn by one process or by several, with a bar that shows how far they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError
from genkit.launch import ranks, refuse_within_launched


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is, and whether it starts the others itself."""

    rank: int
    count: int
    starts_others: bool

    @classmethod
    def seen(cls, asked: int) -> Ranks:
        """From --processes, or from the variables that `accelerate launch` sets."""
        if not ranks().is_launched:
            return cls(0, asked, asked > 1)
        if asked > 1:
            refuse_within_launched(asked)
        return cls(ranks().rank, ranks().world, False)

    @property
    def is_first(self) -> bool:
        """Whether this process finishes the samples and speaks to the user."""
        return self.rank == 0


@dataclass(frozen=True)
class Job:
    """The samples of one command.

    Attributes:
        source: Run folder, export folder or Hub id.
        out: Where they go.
        count: Images in all.
        seed: As in a call of the pipeline.
        labels: As in a call of the pipeline.
        batch_size: Images made at a time.
        device: As the user gave it.
        options: Further keywords of the pipeline's call.
        words: What else a command line needs to draw the same: the options as the user gave them.
    """

    source: str
    out: Path
    count: int
    seed: int
    labels: list[int] | None
    batch_size: int
    device: str | None
    options: Mapping[str, Any]
    words: Sequence[str]

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
        return [sys.executable, "-m", "genkit", "sample", *words, *self.words, "--", self.source]


def draw(pipeline: Any, job: Job, ranks: Ranks) -> dict[str, Any]:
    """Make and finish the samples; what a script would want to know about it.

    Args:
        pipeline: A `Pipeline`.
        job: What to make of it.
        ranks: Which part of it is this process's.
    """
    from genkit.pipelines.samples import begin_samples

    spec: dict[str, Any] = {"count": job.count, "seed": job.seed, "label": job.labels}
    begun = time.perf_counter()
    written = 0
    if begin_samples(pipeline, job.out, **spec, **job.options):
        written = _make(pipeline, job, ranks, spec)
    seconds = time.perf_counter() - begun
    return {
        "out": str(job.out),
        "count": job.count,
        "written": written,
        "seconds": round(seconds, 3),
        "images_per_s": round(written / seconds, 1),
    }


def _make(pipeline: Any, job: Job, ranks: Ranks, spec: Mapping[str, Any]) -> int:
    """How many images all processes made of samples that were begun."""
    from genkit.pipelines.samples import finish_samples, write_samples

    share: dict[str, Any] = {
        "batch_size": job.batch_size,
        "rank": ranks.rank,
        "processes": ranks.count,
    }
    with _workers(job, ranks) as workers, _bar(job, ranks) as advance:

        def progress(images: int) -> None:
            workers.check()
            advance.batch(images)

        with _on_step(pipeline, advance.step):
            write_samples(pipeline, job.out, **spec, **share, progress=progress, **job.options)
        workers.wait()
        if ranks.is_first and ranks.count > 1:
            _wait_for_ranks(job)
            finish_samples(job.out)
        return advance.total


@contextmanager
def _on_step(pipeline: Any, called: Callable[[int, int], None]) -> Iterator[None]:
    """Let a pipeline tell of its steps, while it makes samples."""
    pipeline.on_step = called
    try:
        yield
    finally:
        pipeline.on_step = None


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
def _workers(job: Job, ranks: Ranks) -> Iterator[_Workers]:
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


def _wait_for_ranks(job: Job) -> None:
    """Until the last image of the other ranks is there. If one fails, the launcher ends us all."""
    from genkit.pipelines.samples import missing_samples

    while missing_samples(job.out, batch_size=job.batch_size):
        time.sleep(0.2)


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def usable_device(asked: str | None, rank: int) -> str:
    """The device asked for if it works; by default this rank's GPU, or the CPU."""
    import torch

    if asked is None:
        local = ranks().local if ranks().is_launched else rank
        cuda = torch.cuda.is_available()
        return f"cuda:{local % torch.cuda.device_count()}" if cuda else "cpu"
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise PipelineError(
            f"--device {asked}: not usable here ({str(error).splitlines()[0]}); "
            "`genkit machine` lists the devices"
        ) from None
    return asked


# -- progress --------------------------------------------------------------------------------------


class Advance:
    """Counts images of all processes from those of this one, as all are equally fast.

    Args:
        total: Images that all processes are to make.
        own: Those of this process.
        batch_size: Images that it makes at a time.
        tell: Called with the number of images made by all, in parts of an image.
    """

    def __init__(self, total: int, own: int, batch_size: int, tell: Callable[[float], Any]) -> None:
        self.total = total
        self._each = total / max(own, 1)
        self._own = own
        self._batch_size = batch_size
        self._tell = tell
        self._made = 0

    def batch(self, images: int) -> None:
        """A batch is written."""
        self._made += images
        self._tell(self._made * self._each)

    def step(self, done: int, steps: int) -> None:
        """So many steps of a batch are done."""
        batch = min(self._batch_size, self._own - self._made)
        self._tell((self._made + batch * done / steps) * self._each)


@contextmanager
def _bar(job: Job, ranks: Ranks) -> Iterator[Advance]:
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
        before = job.count - total
        task = bar.add_task("", total=job.count, completed=before, rate="?")
        begun = time.perf_counter()

        def tell(made: float) -> None:
            rate = made / (time.perf_counter() - begun)
            shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
            bar.update(task, completed=before + made, rate=shown)

        yield Advance(total, own, job.batch_size, tell)
