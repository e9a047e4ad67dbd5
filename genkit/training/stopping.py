"""A run that signals stop after the step that they fall into, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from genkit.launch.signals import StopRequest, handled


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """What signals ask of the run meanwhile, instead of ending the process.

    Workers of the loader that end from then on are no error: what ends the run may end them too.
    """
    stop = StopRequest()
    watched = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None

    def take(number: int, frame: FrameType | None) -> None:
        stop.take(number)
        if watched is not None:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises wherever the run is

    with handled(take):
        try:
            yield stop
        finally:
            if stop and watched is not None:
                signal.signal(signal.SIGCHLD, watched)
