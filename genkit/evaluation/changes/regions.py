"""Errors inside and outside the region that an edit should change, where the right answer is known.

A counterfactual is the same face with one attribute changed; the region is where it differs from
the picture before the edit by more than the rounding of a resized picture or a JPEG does, in the
mean over channels. Errors are absolute differences in [0, 1], averaged
over the region's pixels and channels, then over pictures, so that a small region counts like a
large one.

Legend: B pictures, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

SEEN = 4  # levels of 255 that a pixel must change by, in the mean over channels, to be changed
REGION = (
    f"where the right answer differs from the picture before by {SEEN}/255 or more, in the mean "
    "over channels"
)
MEANING = {
    "inside-error": "how far edited pictures are from the right answer where it differs from the "
    "picture before by 4/255 or more, in [0, 1]",
    "inside-ratio": "the same over that of giving the picture back unchanged: 0 is right, 1 no "
    "better than doing nothing",
    "outside-error": "how far an edit moves pixels that it should leave alone, in [0, 1]; of those "
    "with one right answer",
}
TITLE = {
    "inside-error": "Error inside the change",
    "inside-ratio": "Error over that of copying",
    "outside-error": "Error outside the change",
}


def changed(before: Tensor, target: Tensor) -> Tensor:
    """Where two pictures differ by `SEEN` levels: (B, C, H, W) uint8 twice -> (B, 1, H, W) bool."""
    apart = (before.short() - target.short()).abs()
    return apart.sum(1, keepdim=True) >= SEEN * before.shape[1]


def errors(one: Tensor, other: Tensor, where: Tensor) -> Tensor:
    """Mean absolute difference in a region, in [0, 1]: (B,) float64; NaN where it is empty.

    Args:
        one: (B, C, H, W) uint8.
        other: As many.
        where: (B, 1, H, W) bool.
    """
    apart = (one.double() - other.double()).abs() / 255
    inside = where.expand_as(apart).double()
    return (apart * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3))  # 0 / 0 where it is empty


def of_edits(before: Tensor, after: Tensor, target: Tensor) -> Tensor:
    """Of each edit the error inside, that of copying inside, and the error outside: (B, 3)."""
    region = changed(before, target)
    return torch.stack(
        [
            errors(after, target, region),
            errors(before, target, region),
            errors(after, before, ~region),
        ],
        dim=1,
    )
