"""What norms measure of a picture, taken once and held fixed, so that a tile of a picture comes out
as it does within the whole.

Instance and group norms divide by moments of the very map that they are given. So a tile has other
ones than the picture that it is of, and tiles that are computed alone differ in colour and contrast
(Ulyanov et al. 2016, arXiv:1607.08022, eq. 4: mean and variance are over all of a map). With the
moments of the whole held fixed, a network of convolutions is a function of a neighbourhood.

Legend: B batch, F features, G groups of them, H W height and width of a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

Moments = tuple[Tensor, Tensor]  # mean and variance, float32 (B, F), or (1, F) of a whole batch


@dataclass(frozen=True)
class Statistics:
    """The moments that the norms of a network met in one pass.

    Attributes:
        moments: By the name of the norm within the network, one entry for each of its calls.
    """

    moments: dict[str, list[Moments]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.moments)


def recorded(network: nn.Module, *inputs: Any) -> Statistics:
    """What the norms of a network measure in one pass over these inputs."""
    with recording(network) as statistics, torch.no_grad():
        network(*inputs)
    return statistics


@contextmanager
def recording(network: nn.Module) -> Iterator[Statistics]:
    """Take down what the norms of a network measure; empty where none measures its input.

    Batch norms are among them while they use their own batch, not what they learnt of many.
    """
    statistics = Statistics()
    with ExitStack() as stack:
        for name, norm in _norms(network):

            def note(norm: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                statistics.moments.setdefault(name, []).append(_moments(norm, args[0]))

            stack.callback(norm.register_forward_pre_hook(note).remove)
        yield statistics


@contextmanager
def held(network: nn.Module, statistics: Statistics) -> Iterator[None]:
    """The same network, whose norms use these moments and measure nothing meanwhile.

    Args:
        network: The one that they were recorded of, or one like it.
        statistics: Of one pass; of a batch of one picture they serve any batch.

    Raises:
        ValueError: The network lacks a norm that the statistics are of.
    """
    norms = {name: norm for name, norm in _norms(network) if name in statistics.moments}
    if strange := sorted(statistics.moments.keys() - norms.keys()):
        raise ValueError(f"statistics of another network, of its {', '.join(strange[:3])}")
    try:
        for name, norm in norms.items():
            norm.forward = _Fixed(norm, statistics.moments[name])
        yield
    finally:
        for norm in norms.values():
            del norm.forward


class _Fixed:
    """The pass of a norm with given moments; those of its calls come in turn."""

    def __init__(self, norm: Any, moments: list[Moments]) -> None:
        self.norm, self.moments, self.calls = norm, moments, count()

    def __call__(self, x: Tensor) -> Tensor:
        mean, variance = self.moments[next(self.calls) % len(self.moments)]
        scale = (variance + self.norm.eps).rsqrt()
        if self.norm.weight is not None:
            scale = scale * self.norm.weight
        shift = self.norm.bias
        y = (x - _spread(mean, x)).mul_(_spread(scale, x))
        return y if shift is None else y.add_(_spread(shift[None], x))


def _norms(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Norms that measure what they are given, by their names."""
    for name, module in network.named_modules():
        if isinstance(module, nn.GroupNorm) or (
            isinstance(module, _BatchNorm | _InstanceNorm) and _measures(module)
        ):
            yield name, module


def _measures(norm: _BatchNorm | _InstanceNorm) -> bool:
    return norm.training or norm.running_mean is None


def _moments(norm: nn.Module, x: Tensor) -> Moments:
    """Mean and variance of each feature of x (B, F, ...)."""
    values = x.detach().float()
    if isinstance(norm, _BatchNorm):
        values = values.transpose(0, 1)[None]
    if isinstance(norm, nn.GroupNorm):
        values = values.unflatten(1, (norm.num_groups, -1))
    variance, mean = torch.var_mean(values.flatten(2), dim=2, correction=0)  # (B, F or G)
    each = x.shape[1] // mean.shape[1]  # features of a group
    return mean.repeat_interleave(each, 1), variance.repeat_interleave(each, 1)


def _spread(values: Tensor, x: Tensor) -> Tensor:
    """Values (B, F) over the maps x (B, F, ...), in their dtype."""
    return values.view(*values.shape, *[1] * (x.ndim - 2)).to(x.dtype)
