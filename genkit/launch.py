"""Several CPU processes on this machine: start them, pass signals on, end them together.

`accelerate launch --num_processes 2` starts one process on a CPU without saying so, and torchrun
turns a SIGTERM that its workers have answered with a checkpoint and exit status 0 into a failure.
On GPUs and over several machines use `accelerate launch train/run.py CONFIG`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import torch

from genkit.errors import TrainingError


def launch(command: Sequence[str], processes: int) -> None:
    """Run `python -m <command>` as `processes` ranks and wait for all.

    Raises:
        TrainingError: A rank failed; the others were ended. Its own message is already printed.
    """
    port, shares = _free_port(), core_shares(processes)
    # Sessions of their own: Ctrl-C on a terminal would reach them twice, and the second one means
    # "stop at once".
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=_environment(rank, processes, port, len(shares[rank])),
            start_new_session=True,
        )
        for rank in range(processes)
    ]
    for process, cores in zip(ranks, shares, strict=True):
        if cores:
            os.sched_setaffinity(process.pid, cores)  # long before it starts a thread

    def forward(number: int, frame: FrameType | None) -> None:
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    before = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        failed = _wait(ranks)
    finally:
        for process in ranks:
            process.kill()  # none is left but after an error in here
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed is not None:
        status = ranks[failed].returncode
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise TrainingError(
            f"process {failed} of {processes} ended with {how} (its message is above); "
            "the others were stopped"
        )


def _wait(ranks: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """The first rank that failed, the rest ended; None if all did well."""
    while True:
        states = [process.poll() for process in ranks]
        failed = next((i for i, state in enumerate(states) if state not in (None, 0)), None)
        if failed is not None:
            for process in ranks:
                process.kill()
                process.wait()
            return failed
        if all(state == 0 for state in states):
            return None
        time.sleep(0.05)


def core_shares(processes: int) -> list[set[int]]:
    """The cores of each rank, none shared and as many for each; empty sets where that can't be.

    A rank that stays on its cores waits less for the others: two ranks at 4 % more speed.
    """
    if not hasattr(os, "sched_getaffinity"):  # not on Linux
        return [set()] * processes
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // processes
    return [set(cores[rank * each : (rank + 1) * each]) for rank in range(processes)]


def _environment(rank: int, processes: int, port: int, cores: int) -> dict[str, str]:
    threads = cores or max(1, (os.cpu_count() or 1) // processes)
    own = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": threads,
        "ACCELERATE_USE_CPU": "true",
    }
    # All ranks are on this machine: the shortest way between them.
    shortest = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return shortest | os.environ | {name: str(value) for name, value in own.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_launched() -> bool:
    """Whether this process is one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_main() -> bool:
    """Whether this process writes the run folder: rank 0, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def in_group() -> bool:
    """Whether this rank has met the others, so that it must not end by itself: see `leave`."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def leave(status: int = 0) -> None:
    """End a launched rank at once, its output flushed; with status 0, when all are through.

    Taking the interpreter down in order lets threads of the process group outlive what they use:
    about one CPU run in three then aborts after its work is done.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if status == 0 and in_group():
        torch.distributed.barrier()
    os._exit(status)
