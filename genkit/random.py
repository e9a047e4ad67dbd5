"""Randomness as a function of (seed, purpose, position), never a state.

Everything random in genkit is drawn from a generator keyed by what it is for. So a resumed run
draws what the unbroken one drew, and nothing depends on the number of processes, loader workers or
the batch size. Draws happen on the CPU: the same key gives the same numbers on every device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def key(seed: int, purpose: str, *position: int) -> int:
    """A 63-bit number that depends on every argument and on nothing else."""
    text = "/".join([str(seed), purpose, *map(str, position)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """A CPU generator for one purpose at one position, e.g. ("latent", step)."""
    return torch.Generator().manual_seed(key(seed, purpose, *position))


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """The order of one epoch: (count,) int64, each of 0..count-1 once."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))


def turns(seed: int, purpose: str, count: int, first: int, size: int) -> Tensor:
    """The places [first, first + size) of an endless row of permutations of `count` things.

    All of them come before any comes again. Where to begin costs nothing: (size,) int64.
    """
    parts: list[Tensor] = []
    while size > 0:
        turn, place = divmod(first, count)
        drawn = torch.randperm(count, generator=generator(seed, purpose, turn))
        parts.append(drawn[place : place + size])
        first, size = first + len(parts[-1]), size - len(parts[-1])
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)


def rows(seed: int, purpose: str, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal noise, one row per index: (len(indices), *shape) float32.

    A row depends on (seed, purpose, index) only, so any batch size gives the same noise bit by bit.
    """
    drawn = [torch.randn(*shape, generator=generator(seed, purpose, i)) for i in indices]
    return torch.stack(drawn) if drawn else torch.empty(0, *shape)
