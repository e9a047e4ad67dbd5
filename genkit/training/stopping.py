"""A run that signals stop after the step that they fall into, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from genkit.launch.signals import StopRequest, handled, request


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """What signals ask of the run meanwhile, instead of ending the process.

    Workers of the loader that end from then on are no error: what ends the run may end them too.
    """
    stop = request()
    watched: list[Any] = []

    def take(number: int, frame: FrameType | None) -> None:
        stop.take(number)
        if hasattr(signal, "SIGCHLD") and not watched:
            watched.append(signal.signal(signal.SIGCHLD, signal.SIG_DFL))  # torch's raises anywhere

    with handled(take):
        try:
            yield stop
        finally:
            if watched:
                signal.signal(signal.SIGCHLD, watched[0] or signal.SIG_DFL)
