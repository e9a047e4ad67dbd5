"""Exponential moving average of networks, buffers included."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class EMA:
    """Averaged copies of networks: average <- d * average + (1 - d) * weight at every step.

    Floating-point buffers (batch-norm statistics) are averaged too, integer ones copied. With
    `warmup` the decay at step t is at most (1 + t) / (10 + t), so early averages forget the
    initial weights.

    Args:
        networks: The bare networks, by name, before any wrapping.
        decay: d in [0, 1).
        warmup: Whether the first steps average less.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float, *, warmup: bool) -> None:
        self.decay = decay
        self.warmup = warmup
        self.networks = {
            name: copy.deepcopy(network).eval().requires_grad_(False)
            for name, network in networks.items()
        }

    def decay_at(self, step: int) -> float:
        """The decay used at optimizer step `step`, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, networks: Mapping[str, nn.Module], step: int) -> None:
        """Move the averages towards `networks` after optimizer step `step`, counted from 0."""
        for name, average in self.networks.items():
            targets, sources = _tensors(average), _tensors(networks[name])
            pairs = list(zip(targets, sources, strict=True))
            floating = [(a, b) for a, b in pairs if a.is_floating_point()]
            torch._foreach_lerp_(
                [a for a, _ in floating],
                [b.detach() for _, b in floating],
                1 - self.decay_at(step),
            )
            for a, b in pairs:
                if not a.is_floating_point():
                    a.copy_(b)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
