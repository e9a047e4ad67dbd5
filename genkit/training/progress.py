"""What a person sees while a run goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("genkit")


class RunProgress:
    """Counts steps and images; `rate` is images/s since the last log step."""

    def __init__(
        self, *, done: int, steps: int, images_per_step: int, seconds: float, visible: bool
    ) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} images/s ·"),
            TimeRemainingColumn(),
            TextColumn("left · {task.fields[losses]}"),
            console=console,
            disable=not (visible and console.is_terminal),
        )
        self._task = self._bar.add_task("", total=steps, completed=done, rate="–", losses="")
        self._lines = visible and not console.is_terminal
        self._steps, self._images_per_step = steps, images_per_step
        self._mark = time.perf_counter()
        self._begun = self._mark - seconds
        self._marked_step = done
        self.rate = 0.0

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Spent on training, before a resume too."""
        return time.perf_counter() - self._begun

    def advance(self) -> None:
        """One step is done."""
        self._bar.advance(self._task)

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the means of a log window."""
        now = time.perf_counter()
        elapsed = max(now - self._mark, 1e-9)
        self.rate = (step - self._marked_step) * self._images_per_step / elapsed
        left = (self._steps - step) * self._images_per_step / max(self.rate, 1e-9)
        self._mark, self._marked_step = now, step
        losses = " ".join(
            f"{name.removeprefix('loss/')} {value:.3f}"
            for name, value in metrics.items()
            if name.startswith("loss/")
        )
        self._bar.update(self._task, rate=f"{self.rate:.0f}", losses=losses)
        if self._lines:
            log.info(
                "step %d of %d · %s · %.0f images/s · %s left",
                *(step, self._steps, losses, self.rate, duration(left)),
            )


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
