"""Which of several processes this one is. The variables of launchers are handled here only."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from genkit.errors import LaunchError, shown

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

_WHO = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_WHERE = ("MASTER_ADDR", "MASTER_PORT")


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
    """Who this process is, by the variables that `run_together` and `accelerate launch` set.

    Raises:
        LaunchError: They don't fit together: somebody left them behind.
    """
    rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    found = Ranks(rank, world, _number("LOCAL_RANK", rank))
    if not (0 <= found.rank < world and 0 <= found.local < world):
        said = " ".join(f"{name}={os.environ.get(name, '(not set)')}" for name in _WHO)
        raise LaunchError(
            f"{shown(said)}: a launcher sets these variables so that the first two are below the "
            f"third; where none is at work, `unset {' '.join(_WHO)}`"
        )
    return found


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise LaunchError(
            f"{name}={shown(text)}: a launcher sets this variable to a number; where none is at "
            f"work, `unset {' '.join(_WHO)}`"
        ) from None


def meet(timeout: timedelta | None = None) -> PartialState:
    """Meet the other processes, if there are some, and say who this one is.

    Args:
        timeout: How long one may wait for another from now on.

    Raises:
        LaunchError: The variables say of others, but not where to meet them.
    """
    missing = [name for name in _WHERE if not os.environ.get(name)]
    if ranks().is_launched and missing:
        raise LaunchError(
            f"WORLD_SIZE={ranks().world}, but {' and '.join(missing)} not set, as a launcher does; "
            f"where none is at work, `unset {' '.join(_WHO)}`"
        )
    from accelerate import PartialState

    return PartialState(cpu=on_cpu(), **({} if timeout is None else {"timeout": timeout}))


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
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # full, or closed from the start
            stream.flush()
    if status == 0 and in_group():
        import torch

        torch.distributed.barrier()
    os._exit(status)


def asked_precision() -> str | None:
    """The precision that `accelerate launch` was told, or None."""
    return os.environ.get("ACCELERATE_MIXED_PRECISION")


def environment(
    rank: int, processes: int, port: int, cores: int, *, on_gpus: bool
) -> dict[str, str]:
    """The variables of one rank of several on this machine.

    Args:
        rank: Its number.
        processes: How many there are.
        port: Where they meet.
        cores: Those that it may use; 0 where nobody knows.
        on_gpus: Let it take a GPU.
    """
    own = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": processes,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    if not on_gpus:
        own["ACCELERATE_USE_CPU"] = "true"
    # What the user may have set otherwise. All ranks are on this machine: the shortest way between.
    usual = {"OMP_NUM_THREADS": str(cores or max(1, (os.cpu_count() or 1) // processes))}
    if sys.platform == "linux":
        usual["GLOO_SOCKET_IFNAME"] = "lo"
    return usual | os.environ | {name: str(value) for name, value in own.items()}
