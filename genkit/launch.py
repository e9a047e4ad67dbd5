"""Several processes that work as one: which of them this is, and a function that all of them run.

On GPUs and over several machines `accelerate launch train/run.py CONFIG` starts them. On one
machine `run_together` does, for `--processes N`: `accelerate launch --num_processes 2` starts one
process on a CPU without saying so, and torchrun turns a SIGTERM that its workers have answered with
a checkpoint and exit status 0 into a failure.

The variables of launchers are read here and nowhere else.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from genkit.errors import UNFINISHED, GenkitError, LaunchError, Unfinished

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

INTERRUPTED = 130  # exit status of a rank that Ctrl-C ended


# -- who this process is ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranks:
    """Which of how many launched processes this one is.

    Attributes:
        rank: Its number among all, from 0.
        world: How many there are; 1 without a launcher.
        local: Its number among those of this machine.
    """

    rank: int
    world: int
    local: int

    @property
    def is_first(self) -> bool:
        """Whether this process writes the results and speaks to the user."""
        return self.rank == 0

    @property
    def is_launched(self) -> bool:
        """Whether there are others."""
        return self.world > 1


def ranks() -> Ranks:
    """Who this process is, by the variables that `run_together` and `accelerate launch` set."""
    rank, world = (int(os.environ.get(name, n)) for name, n in (("RANK", 0), ("WORLD_SIZE", 1)))
    return Ranks(rank, world, int(os.environ.get("LOCAL_RANK", rank)))


def on_cpu() -> bool:
    """Whether the launcher asked for CPUs, whatever this machine has."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")


def own_device() -> torch.device:
    """This process's GPU if there is one and CPUs were not asked for, else the CPU."""
    import torch

    if on_cpu() or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", ranks().local % torch.cuda.device_count())


def in_group() -> bool:
    """Whether this rank has met the others, so that it must not end by itself: see `leave`."""
    if "torch.distributed" not in sys.modules:
        return False
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def leave(status: int = 0) -> NoReturn:
    """End a launched rank at once, its output flushed; with status 0, when all are through.

    Taking the interpreter down in order lets threads of the process group outlive what they use:
    about one CPU run in three then aborts after its work is done.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if status == 0 and in_group():
        import torch

        torch.distributed.barrier()
    os._exit(status)


# -- a function run by several ---------------------------------------------------------------------


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
        GenkitError: What a rank raised, or `LaunchError` where it ended otherwise, its message
            printed. The other ranks were stopped.
    """
    refuse_within_launched(processes)
    with tempfile.TemporaryDirectory(prefix="genkit-") as folder:
        call = Path(folder) / "call"
        call.write_bytes(pickle.dumps((function, dict(arguments))))
        started = _start(
            [sys.executable, "-m", "genkit.launch", folder], processes, on_gpus=on_gpus
        )
        with _signals_passed_on(started):
            failed = _wait(started)
        if failed is not None:
            raise _error_of(failed, started[failed].returncode, processes, Path(folder))
        result: T = pickle.loads((Path(folder) / "result").read_bytes())
    return result


def refuse_within_launched(processes: int) -> None:
    """Raise if this is already one of several processes, so that it should start none."""
    if ranks().is_launched:
        raise LaunchError(
            f"--processes {processes}: this is already one of {ranks().world} processes; "
            "leave --processes out under a launcher"
        )


def _start(
    command: Sequence[str], processes: int, *, on_gpus: bool
) -> list[subprocess.Popen[bytes]]:
    port, shares = _free_port(), core_shares(processes)
    # Sessions of their own: Ctrl-C on a terminal would reach them twice, and the second one means
    # "stop at once".
    started = [
        subprocess.Popen(
            command,
            env=_environment(rank, processes, port, len(shares[rank]), on_gpus=on_gpus),
            start_new_session=True,
        )
        for rank in range(processes)
    ]
    for process, cores in zip(started, shares, strict=True):
        if cores:
            os.sched_setaffinity(process.pid, cores)  # long before it starts a thread
    return started


@contextmanager
def _signals_passed_on(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Give SIGTERM and SIGINT to every rank instead of this process, and leave none behind."""

    def forward(number: int, frame: FrameType | None) -> None:
        for process in started:
            if process.poll() is None:
                process.send_signal(number)

    before = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for process in started:
            process.kill()  # none is left but after an error in here
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """The first rank that failed, the rest ended; None if all did well."""
    through = (0, UNFINISHED)  # a stopped run is one to the last rank, which may still be writing
    while True:
        states = [process.poll() for process in started]
        failed = next((i for i, state in enumerate(states) if state not in (None, *through)), None)
        if failed is not None:
            for process in started:
                process.kill()
                process.wait()
            return failed
        if None not in states:
            return next((i for i, state in enumerate(states) if state != 0), None)
        time.sleep(0.05)


def _error_of(rank: int, status: int, processes: int, folder: Path) -> BaseException:
    """What the failure of a rank means for the process that started it."""
    if status in (INTERRUPTED, -signal.SIGINT):  # the latter while it was still starting
        return KeyboardInterrupt()
    # When one gives up, the collective of another breaks: what the one says is the reason.
    written = [_error_file(folder, each) for each in (rank, *range(processes))]
    for file in written:
        if file.exists():
            error: GenkitError | Unfinished = pickle.loads(file.read_bytes())
            return error
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    return LaunchError(
        f"process {rank} of {processes} ended with {how} (its message is above); "
        "the others were stopped, and what they completed is kept"
    )


def core_shares(processes: int) -> list[set[int]]:
    """The cores of each rank, none shared and as many for each; empty sets where that can't be.

    A rank that stays on its cores waits less for the others: two ranks at 4 % more speed.
    """
    if not hasattr(os, "sched_getaffinity"):  # not on Linux
        return [set()] * processes
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // processes
    return [set(cores[rank * each : (rank + 1) * each]) for rank in range(processes)]


def _environment(
    rank: int, processes: int, port: int, cores: int, *, on_gpus: bool
) -> dict[str, str]:
    threads = cores or max(1, (os.cpu_count() or 1) // processes)
    own = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": threads,
    }
    if not on_gpus:
        own["ACCELERATE_USE_CPU"] = "true"
    # All ranks are on this machine: the shortest way between them.
    shortest = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return shortest | os.environ | {name: str(value) for name, value in own.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asked_precision() -> str | None:
    """The precision that `accelerate launch` was told, or None."""
    return os.environ.get("ACCELERATE_MIXED_PRECISION")


# -- one of them -----------------------------------------------------------------------------------


def _be_one(folder: Path) -> NoReturn:
    """Be one rank of `run_together`, whose files are in the folder."""
    _end_with_parent()
    me = ranks()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("genkit").setLevel(logging.INFO if me.is_first else logging.ERROR)
    try:
        function, arguments = pickle.loads((folder / "call").read_bytes())
        result = function(**arguments)
        if me.is_first:
            (folder / "result").write_bytes(pickle.dumps(result))
    except (GenkitError, Unfinished) as error:
        file = _error_file(folder, me.rank)
        fresh = file.with_suffix(".new")  # whole or not there, since ranks are killed at any time
        fresh.write_bytes(pickle.dumps(error))
        fresh.replace(file)
        leave(UNFINISHED if isinstance(error, Unfinished) else 2)
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave()


def _error_file(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}"


def _end_with_parent() -> None:
    """Have Linux kill this process when the launcher dies, so that no rank works on unseen."""
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


if __name__ == "__main__":
    _be_one(Path(sys.argv[1]))
