"""What the training doctor measures of the loop; `diagnosis.py` says what the numbers mean.

Everything but the waiting happens on log steps only, on the main process, and depends on nothing
but the step itself: a resumed run logs the numbers of the unbroken one. The one exception are the
seconds spent waiting, which no two runs share.

Legend: w weights of a network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genkit.training.diversity import Numbers
from genkit.training.ema import EMA

Tensors = list[Tensor] | tuple[Tensor, ...]

_ROUNDING = 1e-6  # an average asked to move less than this share of its size may stay, in float32


class Monitor:
    """Watches one training loop. Where `due` is off, every context below is empty.

    Args:
        device: Where the networks are.
    """

    def __init__(self, device: torch.device) -> None:
        self.due = False
        self._device = device
        self._seen: dict[str, Tensor] = {}
        self.start()

    def start(self) -> None:
        """Time counts from here."""
        self._mark = time.perf_counter()
        self._waited = 0.0  # s
        self._gaps: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def update(self, name: str, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        """Around the update of a network: its gradient before clipping, its relative change.

        Of several updates in one step the last is kept.
        """
        if not self.due:
            yield
            return
        weights = [parameter.detach() for parameter in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        before = torch._foreach_add(weights, 0.0)  # copies
        if gradients:
            self._seen[f"gradient/{name}"] = norm(gradients)
        yield
        self._seen[f"update/{name}"] = distance(weights, before) / norm(before)

    @contextmanager
    def average(self, ema: EMA, networks: Mapping[str, nn.Module], step: int) -> Iterator[None]:
        """Around an update of the averages: how far behind they are, and whether they follow.

        lag = |average - w| / |w|. follow = |its move| / ((1 - decay) |w - average before|): 1 for
        an average that moves as its decay says, 0 for one that stands still.
        """
        if not self.due:
            yield
            return
        pairs = {name: _pairs(a, networks[name]) for name, a in ema.networks.items()}
        before = {name: torch._foreach_add(average, 0.0) for name, (average, _) in pairs.items()}
        yield
        for name in pairs:
            new, raw = _pairs(ema.networks[name], networks[name])
            asked, size = (1 - ema.decay_at(step)) * distance(raw, before[name]), norm(raw)
            follow = distance(new, before[name]) / asked
            self._seen[f"ema/lag/{name}"] = distance(new, raw) / size
            self._seen[f"ema/follow/{name}"] = torch.where(
                asked > _ROUNDING * size, follow, math.nan
            )

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the request for a batch.

        A GPU works on while Python waits, so there the gap is measured on its own clock: from its
        last work on one step to its first on the next.
        """
        if self._device.type == "cuda":
            begun = _now()
            yield
            self._gaps.append((begun, _now()))
        else:
            begun_at = time.perf_counter()
            yield
            self._waited += time.perf_counter() - begun_at

    def numbers(self) -> Numbers:
        """What was seen since the last call, for a row of metrics; finite numbers only."""
        names, self._seen = list(self._seen), self._seen
        values = torch.stack(list(self._seen.values())).tolist() if names else []
        self._seen = {}
        waited = self._waited + sum(a.elapsed_time(b) for a, b in self._gaps) / 1e3
        share = waited / max(time.perf_counter() - self._mark, 1e-9)
        self.start()
        found = {n: v for n, v in zip(names, values, strict=True) if math.isfinite(v)}
        return found | {"loader/wait": round(min(share, 1.0), 4)}


def _now() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _pairs(average: nn.Module, network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The weights of an average and those that it follows, without the frozen ones they share."""
    both = zip(average.parameters(), network.parameters(), strict=True)
    pairs = [(a.detach(), b.detach()) for a, b in both if a is not b]
    return [a for a, _ in pairs], [b for _, b in pairs]


def norm(tensors: Tensors) -> Tensor:
    """L2 norm of all of them, one or more, as one vector: ()."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


def distance(some: Tensors, others: Tensors) -> Tensor:
    """L2 distance of two lists of tensors, each as one vector: ()."""
    return norm(torch._foreach_sub(some, others))
