"""Resizing as the published metrics do it, whole batches at a time.

An image resized in another way gives another FID (Parmar et al. 2022, arXiv:2104.11222). Three ways
are in use, and each is offered under the name that clean-fid gives it:

- `clean`: Pillow's antialiased bicubic filter on float channels, nothing rounded (clean-fid).
- `legacy-pytorch`: bilinear between pixel centres, no antialiasing (pytorch-fid).
- `legacy-tensorflow`: bilinear as TensorFlow 1 had it: corners are aligned at the top left only, no
  antialiasing (Heusel et al. 2017, torch-fidelity).

Such filters are linear and separable, so a resize is one matrix per side. The matrices of `clean`
hold Pillow's own weights; what differs is the order of summation, far below 0.01 of 255.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Resize = Literal["clean", "legacy-pytorch", "legacy-tensorflow"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
SUPPORT = 2.0  # of the bicubic filter, in pixels
SHARPNESS = -0.5  # Pillow's `a` of Keys 1981 (IEEE TASSP 29:1153), eq. 4


def resize(images: Tensor, size: int, how: Resize) -> Tensor:
    """(B, C, H, W) in [0, 255], any type -> (B, C, size, size) float32 in [0, 255]."""
    images = images.to(torch.float32)
    if how == "legacy-pytorch":
        shape = (size, size)
        return F.interpolate(images, shape, mode="bilinear", align_corners=False).clamp_(0, 255)
    make = bicubic_matrix if how == "clean" else bilinear_tf1_matrix
    rows, columns = (make(side, size).to(images.device) for side in images.shape[2:])
    return (rows @ (images @ columns.T)).clamp_(0, 255)


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, 3, size, size) uint8 by Pillow itself, rounded between the passes.

    For networks whose published numbers were made so: CLIP and DINOv2.
    """
    if images.shape[2:] == (size, size):
        return images
    found = []
    for image in images:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        resized = picture.resize((size, size), Image.Resampling.BICUBIC)
        found.append(torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1))
    return torch.stack(found)


def centre_square(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, S, S), S the shorter side, cut from the middle."""
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side]


@lru_cache(64)
def bicubic_matrix(before: int, after: int) -> Tensor:
    """(after, before) float32: Pillow's bicubic filter, widened where an image shrinks."""
    scale = before / after
    widened = max(scale, 1.0)
    centre = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    pixel = torch.arange(before, dtype=torch.float64) + 0.5
    weight = _bicubic((pixel - centre[:, None]) / widened)
    return (weight / weight.sum(1, keepdim=True)).float()


@lru_cache(64)
def bilinear_tf1_matrix(before: int, after: int) -> Tensor:
    """(after, before) float32: output i lies at i * before / after, between its two neighbours."""
    place = torch.arange(after, dtype=torch.float32) * (before / after)
    low = place.long()
    share = place - low
    matrix = torch.zeros(after, before)
    row = torch.arange(after)
    matrix[row, low] = 1 - share
    matrix[row, (low + 1).clamp_max(before - 1)] += share
    return matrix


def _bicubic(x: Tensor) -> Tensor:
    a, x = SHARPNESS, x.abs()
    near = ((a + 2) * x - (a + 3)) * x.square() + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < SUPPORT, far, torch.zeros_like(x)))
