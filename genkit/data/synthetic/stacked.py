"""Stacked digits: three digits in the red, green and blue channel, 1,000 equally likely classes.

A set whose modes can be counted: how many of the 1,000 does a model draw at all? From Metz et al.
2017 (arXiv:1611.02163), section 3.3; Che et al. 2017 (arXiv:1612.02136) set three digits side by
side.

Image i of a split depends on (seed, split, i) and the digits, never on how many are stacked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit import random
from genkit.config import MnistData, StackedData, SyntheticData
from genkit.data.mnist import open_mnist
from genkit.data.sources import MemorySource
from genkit.data.synthetic.glyphs import open_glyphs

CLASS_NAMES = tuple(f"{number:03d}" for number in range(1000))  # red, green and blue digit


def open_stacked(data: StackedData, split: str) -> MemorySource:
    """The train or test part, of digits of the same part."""
    count = data.train_count if split == "train" else data.test_count
    if split == "train" and data.limit is not None:
        count = min(count, data.limit)
    digits = _digits(data, split)
    chosen = choose(data.seed, split, count, len(digits))
    pixels, labels = stack(digits, chosen)
    name = f"stacked:{data.digits}:{split}"
    return MemorySource(name, pixels, labels, class_names=CLASS_NAMES)


def choose(seed: int, split: str, count: int, digits: int) -> Tensor:
    """(count, 3) int64 in [0, digits): which digits each image stacks."""
    keyed = random.generator(seed, f"stacked/{split}")
    return torch.randint(digits, (count, 3), generator=keyed)


def stack(digits: MemorySource, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The stacked images (N, 3, S, S) uint8 and their classes (N,) int64, 100 r + 10 g + b.

    Args:
        digits: Grey digits with labels 0-9.
        chosen: (N, 3) int64, the digits for red, green and blue.
    """
    assert digits.labels is not None
    size = digits.image_size
    pixels = digits.pixels.index_select(0, chosen.flatten()).view(-1, 3, size, size)
    return pixels, digits.labels[chosen] @ torch.tensor([100, 10, 1])


def _digits(data: StackedData, split: str) -> MemorySource:
    if data.digits == "glyphs":
        return open_glyphs(SyntheticData(image_size=data.image_size, seed=data.seed), split)
    mnist = MnistData(kind="mnist", root=data.root, image_size=data.image_size, fit=data.fit)
    return open_mnist(mnist, split)
