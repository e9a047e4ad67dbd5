"""Stacked digits: three digits in the red, green and blue channel, 1,000 equally likely classes.

A set whose modes can be counted: how many of the 1,000 does a model draw at all? From Metz et al.
2017 (arXiv:1611.02163), section 3.3; Che et al. 2017 (arXiv:1612.02136) set three digits side by
side.

Image i of a split depends on (seed, split, i) and the digits, never on how many are stacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from genkit import random
from genkit.config import DataSection, MayChange
from genkit.config.data import Drawn
from genkit.data.fetch import Root, check_split
from genkit.data.readers.glyphs import GlyphsData
from genkit.data.readers.mnist import MnistData
from genkit.rows.base import MemoryRows, image_rows

CLASS_NAMES = tuple(f"{number:03d}" for number in range(1000))  # red, green and blue digit


class StackedData(DataSection):
    """Three digits in the red, green and blue channel: 1,000 classes, called modes."""

    kind: Literal["stacked"] = "stacked"
    digits: Literal["glyphs", "mnist"] = "glyphs"  # what the three are drawn from
    root: MayChange[Root] = "user-cache"  # mnist: or a folder with the files
    train_count: Drawn = 50_000
    test_count: Drawn = 26_000  # as many as modes are usually counted in
    seed: int = 0
    channels: Literal[3] = 3

    @model_validator(mode="after")
    def _is_square(self) -> StackedData:
        assert self.side
        return self

    @classmethod
    def named(cls, words: Sequence[str]) -> dict[str, Any]:
        """The digits that a reference such as "stacked:mnist:test" names."""
        if len(words) > 1 or not set(words) <= {"glyphs", "mnist"}:
            raise ValueError(f"{':'.join(words)!r} are no digits; there are glyphs and mnist")
        return {"digits": words[0]} if words else {}

    def open(self, split: str) -> MemoryRows:
        """The train or test part, of digits of the same part."""
        check_split("stacked", split, ("train", "test"))
        count = self.train_count if split == "train" else self.test_count
        if split == "train" and self.limit is not None:
            count = min(count, self.limit)
        digits = self._digits().open(split)
        chosen = choose(self.seed, split, count, len(digits))
        pixels, labels = stack(digits, chosen)
        return image_rows(f"stacked:{self.digits}:{split}", pixels, labels, class_names=CLASS_NAMES)

    def _digits(self) -> GlyphsData | MnistData:
        if self.digits == "glyphs":
            return GlyphsData(image_size=self.image_size, seed=self.seed)
        return MnistData(root=self.root, image_size=self.image_size, fit=self.fit)


READER = StackedData


def choose(seed: int, split: str, count: int, digits: int) -> Tensor:
    """(count, 3) int64 in [0, digits): which digits each image stacks."""
    keyed = random.generator(seed, f"stacked/{split}")
    return torch.randint(digits, (count, 3), generator=keyed)


def stack(digits: MemoryRows, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The stacked images (N, 3, S, S) uint8 and their classes (N,) int64, 100 r + 10 g + b.

    Args:
        digits: Grey digits with labels 0-9.
        chosen: (N, 3) int64, the digits for red, green and blue.
    """
    assert digits.labels is not None
    pixels = digits.read(chosen.flatten(), ("image",))["image"]
    assert isinstance(pixels, Tensor)
    pixels = pixels.view(-1, 3, *pixels.shape[2:])
    return pixels, digits.labels[chosen] @ torch.tensor([100, 10, 1])
