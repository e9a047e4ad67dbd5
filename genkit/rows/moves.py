"""Where the pixels of pictures go: a part of each, or each moved by its own offset.

Legend: B pictures, C channels, H W their size, h w that of a part, in px.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cut(images: Tensor, size: tuple[int, int], corner: Tensor | None) -> Tensor:
    """A part of each picture, pixel for pixel.

    Args:
        images: (B, C, H, W) of any type.
        size: (h, w) of the part, at most (H, W).
        corner: (B, 2) in [0, 1): where it lies among the places that there are, evenly; None = in
            the middle.

    Returns:
        (B, C, h, w).
    """
    b, c, *sides = images.shape
    if tuple(sides) == size:
        return images
    if corner is None:
        corner = torch.full((b, 2), 0.5, device=images.device)
    places = [side - part + 1 for side, part in zip(sides, size, strict=True)]
    first = (corner.double() * corner.new_tensor(places).double()).long()  # (B, 2)
    rows = first[:, :1] + torch.arange(size[0], device=images.device)  # (B, h)
    columns = first[:, 1:] + torch.arange(size[1], device=images.device)  # (B, w)
    flat = (rows[:, :, None] * sides[1] + columns[:, None, :]).view(b, 1, -1)
    return images.flatten(2).gather(2, flat.expand(b, c, flat.shape[2])).view(b, c, *size)


def shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Each image moved by its own offset, its border repeated.

    Args:
        images: (B, C, H, W).
        offsets: (B, 2) int64, down and right in px.

    Returns:
        (B, C, H, W), what a random crop after edge padding gives.
    """
    b, c, h, w = images.shape
    down, right = offsets[:, :1], offsets[:, 1:]
    rows = (torch.arange(h, device=images.device) - down).clamp_(0, h - 1)  # (B, H)
    columns = (torch.arange(w, device=images.device) - right).clamp_(0, w - 1)  # (B, W)
    flat = (rows[:, :, None] * w + columns[:, None, :]).view(b, 1, h * w)
    return images.flatten(2).gather(2, flat.expand(b, c, h * w)).view(b, c, h, w)
