"""The signals that ask a process to end, and what becomes of them.

A scheduler, a container, `timeout` or a terminal sends them to one process or to all at once, and
some of them twice. SIGHUP comes when a terminal closes, SIGUSR1 from SLURM when it was asked to
warn. One that was ignored when the process started stays so, as `nohup` wants it; not SIGINT, which
shells ignore for what they start in the background.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

from genkit.errors import Unfinished

_NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")  # Windows has the first two
STOPPING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
SAME_S = 1.0  # SIGINT again within this time is the same one, sent to a process and to its group

Handler = Callable[[int, FrameType | None], Any]


class StopRequest:
    """Counts what arrives: the first signal asks to stop, a later SIGINT insists."""

    def __init__(self) -> None:
        self.asked: int | None = None  # the signal that did
        self._interrupted = 0.0

    def __bool__(self) -> bool:
        return self.asked is not None

    def take(self, number: int) -> None:
        """Note a signal.

        Raises:
            KeyboardInterrupt: It is a second Ctrl-C, which means at once.
        """
        now = time.monotonic()
        if number == signal.SIGINT:
            if self._interrupted and now - self._interrupted > SAME_S:
                raise KeyboardInterrupt
            self._interrupted = self._interrupted or now
        self.asked = self.asked or number

    def forget(self) -> int | None:
        """The signal that asked, as if it had not come yet."""
        number = self.asked
        self.__init__()  # type: ignore[misc]
        return number


_request: ContextVar[StopRequest | None] = ContextVar("request", default=None)
_ends_here = False


def request() -> StopRequest:
    """That of the work which is being done, so that one signal asks once; else a new one."""
    current = _request.get()
    return StopRequest() if current is None else current


def end_with_work() -> None:
    """Say that this process ends with its work: what stopped it once does not end it otherwise."""
    global _ends_here
    _ends_here = True


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Let `handler` have the signals meanwhile; outside of the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():  # only there can one be set
        yield
        return
    wanted = [n for n in STOPPING if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    except Unfinished:
        if _ends_here:
            before = dict.fromkeys(before, signal.SIG_IGN)
        raise
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextmanager
def unfinished(message: str) -> Iterator[None]:
    """Let a signal raise `Unfinished` at once, for times when there is nothing to save.

    Once the work was asked to stop, here or by what it calls, it is let end as it does.
    """
    stop = request()
    token = _request.set(stop)

    def take(number: int, frame: FrameType | None) -> None:
        first = not stop
        stop.take(number)
        if first:
            raise Unfinished(message)

    try:
        with handled(take):
            yield
    finally:
        _request.reset(token)


@contextmanager
def held() -> Iterator[None]:
    """Keep the signals waiting meanwhile, also in what is started: see `ignore`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """In a helper whose end its parent decides: no signal of a group ends it before."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
