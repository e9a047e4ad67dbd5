"""The processes that evaluate together, or the only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from genkit.nn.pretrained.weights import Weights

T = TypeVar("T")


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if _together() else 0


def gathered(mine: T) -> list[T]:
    """What each process has, by rank, on all of them."""
    if not _together():
        return [mine]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, mine)
    return found


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, on all of them; an error there is raised by all."""
    if not _together():
        return make()
    held: list[Any] = [None, None]
    if rank() == 0:
        try:
            with _alone():
                held[0] = make()
        except Exception as error:
            held[1] = error
    dist.broadcast_object_list(held)
    if held[1] is not None:
        raise held[1]
    found: T = held[0]
    return found


def fetched(weights: Weights, name: str, *, elsewhere: bool = True) -> Path:
    """The user's copy of published weights; the first process fills the cache for the others.

    Args:
        weights: Which.
        name: What needs them.
        elsewhere: Whether `--weights NAME=PATH` can name another copy.

    Raises:
        WeightsError: They can't be fetched, or the copy is another file.
    """
    hint = f"; genkit evaluate takes a copy from elsewhere: --weights {name}=PATH"
    hint = hint if elsewhere else ""
    from_first(lambda: weights.fetched(name, hint))
    return weights.fetched(name, hint)  # on another machine it is not there yet


@contextmanager
def failing_together() -> Iterator[None]:
    """Work of each process; if it fails in one of them, all raise that error and none waits."""
    problem: Exception | None = None
    try:
        yield
    except Exception as error:
        problem = error
    first = next((found for found in gathered(problem) if found is not None), None)
    if first is not None:
        raise first


_apart: ContextVar[bool] = ContextVar("apart", default=False)


@contextmanager
def _alone() -> Iterator[None]:
    """Work of one process while the others wait: nothing inside may wait for them."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def _together() -> bool:
    return not _apart.get() and dist.is_available() and dist.is_initialized()
