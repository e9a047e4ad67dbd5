"""What is shown while pictures are made: that a model is loaded, and how far they are."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from genkit.errors import shown
from genkit.launch import ranks

log = logging.getLogger("genkit")


def say_loading(source: str) -> None:
    """Say which model is loaded, before the imports that take longest; on a terminal alone."""
    if sys.stderr.isatty():
        log.info("loading %s", shown(source))


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
def bar(
    count: int, missing: int, own: int, batch_size: int, word: str = "sampling"
) -> Iterator[Advance]:
    """A bar with rate and time left on a terminal, nothing elsewhere.

    Args:
        count: Images in all.
        missing: Images that all processes are to make.
        own: Those of this process.
        batch_size: Images that it makes at a time.
        word: What is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), TextColumn("{task.fields[rate]} images/s ·"), TimeLeft())
    with Progress(
        TextColumn(word),
        BarColumn(),
        *columns,
        TextColumn("left"),
        console=console,
        disable=not (ranks().is_first and console.is_terminal),
    ) as shown:
        before = count - missing
        task = shown.add_task("", total=count, completed=before, rate="?")
        begun = time.perf_counter()

        def tell(made: float) -> None:
            rate = made / (time.perf_counter() - begun)
            words = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
            shown.update(task, completed=before + made, rate=words)

        yield Advance(missing, own, batch_size, tell)
