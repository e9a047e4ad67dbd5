"""Exponential moving average of networks, buffers included."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class EMA:
    """Averaged copies of networks: average <- d * average + (1 - d) * weight at every step.

    Floating-point buffers (batch-norm statistics) are averaged too, integer ones copied; frozen
    parameters are those of the network itself. With `warmup` the decay at step t is at most
    (1 + t) / (10 + t), so early averages forget the initial weights.

    Args:
        networks: The bare networks, by name, before any wrapping.
        decay: d in [0, 1).
        warmup: Whether the first steps average less.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float, *, warmup: bool) -> None:
        self.decay = decay
        self.warmup = warmup
        self.networks = {name: copied(network) for name, network in networks.items()}
        self._pairs: dict[str, _Pairs] = {}

    def decay_at(self, step: int) -> float:
        """The decay used at optimizer step `step`, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, networks: Mapping[str, nn.Module], step: int) -> None:
        """Move the averages towards `networks` after optimizer step `step`, counted from 0.

        Between updates a network keeps its tensors, changed in place as optimizers do. The first
        update moves them, see `side_by_side`.
        """
        for name, average in self.networks.items():
            pairs = self._pairs.get(name)
            if pairs is None or pairs.network is not networks[name]:
                pairs = self._pairs[name] = _Pairs(average, networks[name])
            pairs.move(1 - self.decay_at(step))


class _Pairs:
    """Tensors of an average and of its network, each moved into one buffer: then one pass over two
    stretches of memory averages them, 2 to 3 times as fast as tensor by tensor.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        self.network = network
        both = zip(_tensors(average), _tensors(network), strict=True)
        pairs = [(a, b) for a, b in both if a is not b]  # what is frozen they share
        floating = [(a, b) for a, b in pairs if a.is_floating_point()]
        self._averages = side_by_side([a for a, _ in floating])
        self._weights = side_by_side([b for _, b in floating])
        self._copied = [(a, b) for a, b in pairs if not a.is_floating_point()]

    def move(self, share: float) -> None:
        torch._foreach_lerp_(self._averages, self._weights, share)
        for a, b in self._copied:
            a.copy_(b)


def copied(network: nn.Module) -> nn.Module:
    """A copy of a network in eval mode, for whoever only reads it; what is frozen is shared."""
    shared: dict[int, object] = {id(p): p for p in network.parameters() if not p.requires_grad}
    return copy.deepcopy(network, shared).eval().requires_grad_(False)


def side_by_side(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Move tensors into one buffer per type, in order; returns the buffers.

    The tensors keep their values, shapes, strides and identity: optimizers, hooks and wrappers that
    hold them go on as before.
    """
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    return [_move(alike) for alike in kinds.values()]


def _move(tensors: Sequence[Tensor]) -> Tensor:
    starts = [0]
    for tensor in tensors:
        starts.append(starts[-1] + -(-tensor.numel() // _ALIGNED) * _ALIGNED)
    buffer = torch.zeros(starts[-1], dtype=tensors[0].dtype, device=tensors[0].device)
    for tensor, start in zip(tensors, starts, strict=False):
        place = buffer[start:].as_strided(tensor.shape, tensor.stride())
        tensor.data = place.copy_(tensor.detach())
    return buffer


_ALIGNED = 64  # numbers; a tensor begins where vector instructions like it


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
