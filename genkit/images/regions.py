"""The part of a picture that a model of one size sees, and its change put back into the whole.

Legend: C channels, H W height and width in px.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import DataError
from genkit.images import to_array, to_pil


@dataclass(frozen=True)
class Region:
    """A part of a picture, in px.

    Attributes:
        top: Its first line.
        left: Its first column.
        height: Lines.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """This part of a picture (C, H, W)."""
        bottom, right = self.top + self.height, self.left + self.width
        return image[:, self.top : bottom, self.left : right]

    def seen(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """This part of a picture (C, H, W) uint8 at the size of a model, as training reads it."""
        return to_array(to_pil(self.of(image)), size, image.shape[0], "stretch")

    def put_back(self, image: Tensor, seen: Tensor, changed: Tensor) -> Tensor:
        """The whole picture with the change of this part.

        Where the part has the model's size it becomes what the model made. Else the difference of
        what the model made and what it saw is brought to the part's size and added, so that detail
        finer than the model sees stays, and no edge shows where nothing changed.

        Args:
            image: (C, H, W) uint8.
            seen: The part as the model saw it, (C, h, w) uint8.
            changed: What it made of it, likewise.
        """
        whole = image.clone()
        if seen.shape[1:] == (self.height, self.width):
            self.of(whole).copy_(changed)
            return whole
        change = (changed.float() - seen.float())[None]
        size = (self.height, self.width)
        grown = F.interpolate(change, size, mode="bilinear", antialias=True)[0]
        part = self.of(whole)
        part.copy_((part + grown).round().clamp(0, 255).to(torch.uint8))
        return whole


def middle(image: Tensor, size: tuple[int, int]) -> Region:
    """The largest part in the middle of a picture (C, H, W) whose sides are as those of (h, w)."""
    height, width = image.shape[1:]
    high, wide = size
    w, h = min(width, max(1, height * wide // high)), min(height, max(1, width * high // wide))
    return Region((height - h) // 2, (width - w) // 2, h, w)


def named(image: Tensor, crop: tuple[int, int, int], size: tuple[int, int]) -> Region:
    """The part from (top, left) on that is `side` px high, and as wide as those of (h, w) are.

    Args:
        image: (C, H, W).
        crop: Top, left and side.
        size: (h, w) of the model.

    Raises:
        DataError: It does not lie within the picture.
    """
    top, left, side = crop
    width = max(1, round(side * size[1] / size[0]))
    if top + side > image.shape[1] or left + width > image.shape[2]:
        raise DataError(
            f"the crop of {width} x {side} px from line {top}, column {left} on does not lie "
            f"within {image.shape[2]} x {image.shape[1]} px"
        )
    return Region(top, left, side, width)
