"""Sets that our own code draws: drawn once, kept in the user's cache folder, read from there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from genkit.files import alone_in, cache_folder, write_whole

log = logging.getLogger("genkit")

Arrays = dict[str, NDArray[Any]]


def drawn_once(kind: str, name: str, draw: Callable[[], Arrays]) -> Arrays:
    """What lies in the cache folder, or is drawn now; of several processes one draws.

    Args:
        kind: What is drawn, such as "faces": the folder in the cache, and a word of messages.
        name: Of the file: it has to name all that the arrays hang on.
        draw: Draws them.
    """
    path, drawn = cache_folder() / kind / f"{name}.npz", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(path.parent):
            if (stored := _load(path)) is not None:
                return stored
            drawn = draw()
            write_whole(path, lambda file: np.savez(file, **cast(Any, drawn)))
            return drawn
    except OSError as error:
        log.warning("%s can't be written (%s): %s are drawn anew each time", path, error, kind)
        return draw() if drawn is None else drawn


def _load(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None  # not there yet, or cut short by a full disk: draw it


@contextmanager
def drawing_bar(kind: str, part: str, count: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line of the log elsewhere; lends what is told how many were drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        log.info("%s:%s: drawing %s %s, once", kind, part, f"{count:,}", kind)
        yield lambda drawn: None
        return
    title = f"drawing {kind} ({part})"
    shown = (*Progress.get_default_columns()[:1], BarColumn(), MofNCompleteColumn())
    with Progress(*shown, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(title, total=count)
        yield lambda drawn: progress.advance(task, drawn)
