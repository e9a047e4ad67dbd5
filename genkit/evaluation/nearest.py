"""Samples above their nearest training images, to be looked at."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.metrics.near_copies import nearest, pixels
from genkit.evaluation.sets import picture
from genkit.files import write_whole
from genkit.images import grid, png_bytes
from genkit.rows.base import Rows
from genkit.rows.combine import picked


def nearest_pairs(samples: Rows, train: Rows, count: int = 16) -> Tensor:
    """A sheet of `count` samples, spread evenly over the set, each above its nearest image.

    Returns:
        (C, h, w) uint8: a row of samples, then the row of training images, in the size of the
        first sample; C is 1 if all are grey.
    """
    if not len(samples) or not len(train):
        raise EvaluationError(
            "nearest images: neither the samples nor the training set may be empty"
        )
    count = min(count, len(samples))
    chosen = picked(samples, torch.linspace(0, len(samples) - 1, count).long())
    _, indices = nearest(pixels(chosen), train, 1)
    shown = [picture(chosen, i) for i in range(count)]
    shown += [picture(train, i) for i in indices[:, 0].tolist()]
    return grid(_alike(shown), count)


def save_nearest(path: Path, samples: Rows, train: Rows, count: int = 16) -> None:
    """Write `nearest_pairs` as a PNG file."""
    write_whole(path, png_bytes(nearest_pairs(samples, train, count)))


def _alike(pictures: list[Tensor]) -> Tensor:
    """One size and one number of channels: (B, C, H, W) uint8."""
    channels = max(p.shape[0] for p in pictures)
    size = pictures[0].shape[1:]
    return torch.cat([_fit(p[None].expand(-1, channels, -1, -1), size) for p in pictures])


def _fit(picture: Tensor, size: torch.Size) -> Tensor:
    if picture.shape[2:] == size:
        return picture
    resized = F.interpolate(picture.float(), tuple(size), mode="bicubic", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
