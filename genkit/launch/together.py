"""A function that several new processes of this machine run, each as one rank."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from genkit.errors import UNFINISHED, GenkitError, LaunchError, Unfinished
from genkit.launch.ranks import environment, ranks
from genkit.launch.signals import handled, request

T = TypeVar("T")

INTERRUPTED = 130  # exit status of a rank that Ctrl-C ended
THROUGH = (0, UNFINISHED)  # of a rank that waited until the others could do without it
LAST_WORDS_S = 30.0  # how long others may take to end when one has left a run that was stopped
STOPPED_S = 10.0  # how long a rank may be stopped before that is said
_POLL_S = 0.05

log = logging.getLogger("genkit")


def run_together(
    function: Callable[..., T],
    arguments: Mapping[str, Any],
    processes: int,
    *,
    on_gpus: bool = False,
) -> T:
    """Call `function(**arguments)` in `processes` new processes; what the first one returned.

    Each finds its part by `ranks()`. Signals are passed on to all; they die with this process. What
    they are told and what they answer lies in a folder that only this user can enter, and is gone
    afterwards: pickles are read from nowhere else.

    Args:
        function: Of a module that can be imported, not of the script that is running.
        arguments: Its arguments, as `pickle` writes them.
        processes: How many.
        on_gpus: Let each rank take a GPU where there are some; else all stay on the CPU.

    Raises:
        GenkitError: What a rank raised, or `LaunchError` where it ended otherwise. The other ranks
            were stopped.
        Unfinished: A signal ended the function before its end, and that is what it raised.
    """
    refuse_within_launched(processes)
    group = _Group()
    with tempfile.TemporaryDirectory(prefix="genkit-") as folder:
        call = Path(folder) / "call"
        call.write_bytes(pickle.dumps((function, dict(arguments))))
        with handled(group.pass_on):
            try:
                group.start(folder, processes, on_gpus=on_gpus)
                failed = group.wait()
            finally:
                group.kill()  # none is left but after an error in here
        error = None if failed is None else group.error_of(failed, Path(folder))
        if failed is None:
            result: T = pickle.loads((Path(folder) / "result").read_bytes())
            return result
    if error is None:  # a signal ended the ranks: it does here what it does without them
        number = group.stop.forget()
        assert number is not None
        signal.raise_signal(number)
        raise KeyboardInterrupt
    raise error


def refuse_within_launched(processes: int) -> None:
    """Raise if this is already one of several processes, so that it should start none."""
    if ranks().is_launched:
        raise LaunchError(
            f"--processes {processes}: this is already one of {ranks().world} processes; "
            "leave --processes out under a launcher"
        )


class _Group:
    """The ranks of one call."""

    def __init__(self) -> None:
        self.stop = request()
        self._ranks: list[subprocess.Popen[bytes]] = []

    def start(self, folder: str, processes: int, *, on_gpus: bool) -> None:
        """Start them, each on cores of its own."""
        port, shares = _free_port(), core_shares(processes)
        command = [sys.executable, "-m", "genkit.launch", folder, str(os.getpid())]
        for rank, cores in enumerate(shares):
            variables = environment(rank, processes, port, len(cores), on_gpus=on_gpus)
            # Sessions of their own: a terminal's Ctrl-C is passed on, and reaches them once.
            process = subprocess.Popen(command, env=variables, start_new_session=True)
            self._ranks.append(process)
            if cores:
                os.sched_setaffinity(process.pid, cores)  # long before it starts a thread

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Give a signal to every rank instead of this process."""
        self.stop.take(number)
        for process in self._ranks:
            process.send_signal(number)

    def wait(self) -> int | None:
        """The first rank that failed or was stopped, the rest ended; None if all did well."""
        last_words, stopped = None, _Stopped(self._ranks)
        while True:
            failed = self._failed()
            states = [process.poll() for process in self._ranks]
            if UNFINISHED in states and last_words is None:
                last_words = time.monotonic() + LAST_WORDS_S
            if failed is not None or (last_words is not None and time.monotonic() > last_words):
                self.kill()
                return failed if failed is not None else states.index(UNFINISHED)
            if None not in states:
                return next((i for i, state in enumerate(states) if state != 0), None)
            stopped.look()
            time.sleep(_POLL_S)

    def _failed(self) -> int | None:
        """The rank that was killed, or the first one that failed: others follow it, with errors."""
        bad = [i for i, process in enumerate(self._ranks) if process.poll() not in (None, *THROUGH)]
        killed = [i for i in range(len(self._ranks)) if (self._ranks[i].poll() or 0) < 0]
        return next(iter([*killed, *bad]), None)

    def kill(self) -> None:
        """End all that still run."""
        for process in self._ranks:
            process.kill()
        for process in self._ranks:
            process.wait()

    def error_of(self, rank: int, folder: Path) -> BaseException | None:
        """What the failure of a rank means for this process; None if it ended by our signal."""
        status = self._ranks[rank].returncode
        # When one gives up, the collective of another breaks: what the one says is the reason.
        for each in (rank, *range(len(self._ranks))):
            if (file := error_file(folder, each)).exists():
                error: GenkitError | Unfinished = pickle.loads(file.read_bytes())
                return error
        if self.stop and (status == INTERRUPTED or -status == self.stop.asked):
            return None
        if status in (INTERRUPTED, -signal.SIGINT):
            return KeyboardInterrupt()
        which = f"process {rank} of {len(self._ranks)}"
        kept = "the others were stopped, and what they completed is kept"
        if status == -signal.SIGKILL:
            return LaunchError(
                f"{which} was killed (SIGKILL), as Linux does where memory runs out; give smaller "
                f"batches, of a training with as much more trainer.grad_accumulation; {kept}"
            )
        if (trace := trace_file(folder, rank)).exists():
            sys.stderr.write(trace.read_text("utf-8"))
            return LaunchError(f"{which} ended with an error (it is above); {kept}")
        how = f"exit status {status}" if status > 0 else signal.Signals(-status).name
        return LaunchError(f"{which} ended with {how}; {kept}")


class _Stopped:
    """Says of a rank that was stopped, as by SIGSTOP, that the others wait for it."""

    def __init__(self, started: list[subprocess.Popen[bytes]]) -> None:
        self._ranks = started
        self._since: dict[int, float] = {}
        self._said: set[int] = set()

    def look(self) -> None:
        """Look at all of them."""
        now = time.monotonic()
        for rank, process in enumerate(self._ranks):
            if not _is_stopped(process):
                self._since.pop(rank, None)
                self._said.discard(rank)
            elif now - self._since.setdefault(rank, now) > STOPPED_S and rank not in self._said:
                self._said.add(rank)
                log.warning(
                    "process %d of %d has been stopped for %.0f s, and the others wait for it; "
                    "`kill -CONT %d` lets it go on",
                    *(rank, len(self._ranks), now - self._since[rank], process.pid),
                )


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid") or process.returncode is not None:
        return False
    try:  # a look that leaves everything as it is for `poll`
        seen = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return seen is not None


def core_shares(processes: int) -> list[set[int]]:
    """The cores of each rank, none shared and as many for each; empty sets where that can't be.

    A rank that stays on its cores waits less for the others: two ranks at 4 % more speed.
    """
    if not hasattr(os, "sched_getaffinity"):  # not on Linux
        return [set()] * processes
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // processes
    return [set(cores[rank * each : (rank + 1) * each]) for rank in range(processes)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def error_file(folder: Path, rank: int) -> Path:
    """Where a rank leaves the error that it ended with, if it is one of ours."""
    return folder / f"error-{rank}"


def trace_file(folder: Path, rank: int) -> Path:
    """Where it leaves the traceback of another one."""
    return folder / f"trace-{rank}"
