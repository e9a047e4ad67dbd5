"""Whole sets of images of one size brought to the configured size and channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.config import DataSection
from genkit.images import to_array, to_pil


def resized(images: Tensor, data: DataSection) -> Tensor:
    """(N, C, H, W) uint8 as configured, from (N, c, h, w) uint8.

    28 px become 32 by two black pixels on each side, as the LeNet papers have MNIST, and are not
    resampled. Any other change of size is a Lanczos resampling.
    """
    size, channels = data.size, data.channels
    if images.shape[2:] == (28, 28) and size == (32, 32):
        images = F.pad(images, (2, 2, 2, 2))
    if images.shape[2:] == size and images.shape[1] in (1, channels):
        return images.expand(-1, channels, -1, -1)
    return torch.stack([to_array(to_pil(image), size, channels, data.fit) for image in images])
