"""Small networks of one shape, computed together: a batched product instead of R small ones.

Legend: R networks, B points for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Stacked = list[tuple[Tensor, Tensor] | nn.Module]


def stack(networks: Sequence[nn.Sequential]) -> Stacked:
    """The layers of R like networks; weights stacked as (R, in, out), biases as (R, 1, out)."""
    return [
        (torch.stack([m.weight for m in each]).mT, torch.stack([m.bias for m in each])[:, None])
        if isinstance(each[0], nn.Linear)
        else each[0]
        for each in zip(*networks, strict=True)
    ]


def apply(layers: Stacked, x: Tensor) -> Tensor:
    """Each network on points of its own: (R, B, in) -> (R, B, out)."""
    for layer in layers:
        x = layer(x) if isinstance(layer, nn.Module) else torch.baddbmm(layer[1], x, layer[0])
    return x


def weights(networks: Iterable[nn.Module]) -> list[Tensor]:
    """Every parameter of every network."""
    return [weight for network in networks for weight in network.parameters()]
