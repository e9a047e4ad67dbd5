"""How far a network of pictures looks, and what memory a picture takes in it, found by one pass.

Legend: J px of the picture that one step on a map is.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)
# What looks at one place only, or (norms) at none where their statistics are held.
_LOCAL = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.PReLU, nn.Dropout2d, nn.PixelShuffle)
_GLOBAL = (
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear, nn.Softmax, nn.Softmax2d),
    *(nn.MultiheadAttention, nn.FractionalMaxPool2d),
)


@dataclass(frozen=True)
class Footprint:
    """What a pass showed.

    Attributes:
        reach: How far to each side an output pixel looks, in px, at most; None = over the whole
            picture, or nobody knows.
        bytes_per_pixel: Of the maps that were held at once.
    """

    reach: int | None
    bytes_per_pixel: float


def footprint(network: nn.Module, run: Callable[[Tensor], Any], image: Tensor) -> Footprint:
    """What one pass of a network shows.

    The reach is the sum over all layers of what each adds, so it is a bound whatever way leads
    through them. What a network computes outside its layers is not seen.

    Args:
        network: Holds the layers.
        run: The pass.
        image: (1, C, H, W), what it is run on.
    """
    pixels, width = image.shape[-1] * image.shape[-2], image.shape[-1]
    watch = _Watch(width)
    with ExitStack() as stack, torch.no_grad():
        for module in network.modules():
            if not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(watch).remove)
        run(image)
    reach = None if math.isinf(watch.reach) else math.ceil(watch.reach)
    return Footprint(reach, watch.peak / pixels)


class _Watch:
    """A hook of every layer: adds up reach, and counts the maps that are alive."""

    def __init__(self, width: int) -> None:
        self.width, self.reach, self.peak = width, 0.0, 0
        self._alive: list[weakref.ref[Tensor]] = []

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        given = next((each for each in args if isinstance(each, Tensor)), None)
        if given is None or not isinstance(output, Tensor):
            return
        self.reach += _added(module, given, output, self.width)
        self._alive = [ref for ref in self._alive if ref() is not None]
        self._alive.append(weakref.ref(output))
        there = [given, *(tensor for ref in self._alive if (tensor := ref()) is not None)]
        sizes = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in there}
        self.peak = max(self.peak, sum(sizes.values()))


def _added(layer: Any, given: Tensor, output: Tensor, width: int) -> float:
    """How much further one sees through a layer, in px of the picture."""
    if given.ndim != 4 or isinstance(layer, _GLOBAL):
        return math.inf
    step = max(1.0, round(width / given.shape[-1]))  # J
    if isinstance(layer, _ConvTransposeNd):
        return step * math.ceil(_most(layer.kernel_size) / _least(layer.stride)) / 2
    if isinstance(layer, _ConvNd):
        return step * _span(_most(layer.kernel_size), layer.dilation, layer.stride)
    if isinstance(layer, _POOLS):
        return step * _span(_most(layer.kernel_size), 1, layer.stride)
    if isinstance(layer, nn.Upsample):
        return step * (2 if layer.mode == "bicubic" else 1)
    known = isinstance(layer, _LOCAL) or not any(True for _ in layer.parameters())
    return 0.0 if known and given.shape[-1] <= 2 * output.shape[-1] else math.inf


def _span(kernel: int, dilation: Any, stride: Any) -> float:
    """Half of what a kernel covers; where it can't lie in the middle, half a step more."""
    covered = (kernel - 1) * _most(dilation)
    return covered / 2 + (0.5 if covered % 2 or _most(stride) > 1 else 0.0)


def _most(value: Any) -> int:
    return max(value) if isinstance(value, tuple) else int(value)


def _least(value: Any) -> int:
    return min(value) if isinstance(value, tuple) else int(value)
