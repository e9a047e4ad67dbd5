"""DiffAugment: differentiable augmentation of what a critic sees.

Zhao et al. 2020 (arXiv:2006.10738), section 3.3. Real and generated images pass it in both phases:
a critic that sees only augmented images can't learn the few training images by heart, and since
the generator's gradient passes through, its samples aren't augmented themselves.

Legend: B batch, C channels, S size in px.
"""

from collections.abc import Callable, Collection
from typing import Literal

import torch
from torch import Tensor

Augmentation = Literal["color", "translation", "cutout"]

DRAWS = 7  # uniform numbers per image, whatever the policy is


def diff_augment(images: Tensor, uniform: Tensor, policy: Collection[Augmentation]) -> Tensor:
    """Images (B, C, S, S) in [-1, 1], augmented: colour first, then translation, then cutout.

    Args:
        images: (B, C, S, S).
        uniform: (B, 7) in [0, 1): brightness, saturation, contrast, shift down and right, hole down
            and right.
        policy: Which of the three to do.
    """
    for name, change in _CHANGES.items():
        if name in policy:
            images = change(images, uniform.to(images.device))
    return images


def _color(images: Tensor, uniform: Tensor) -> Tensor:
    """Brightness +-0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = (uniform[:, i].view(-1, 1, 1, 1) for i in range(3))
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, contrast + 0.5)


def _translation(images: Tensor, uniform: Tensor) -> Tensor:
    """Moved by whole px, up to an eighth of the side each way; what comes in is 0."""
    size = images.shape[-1]
    reach = int(size / 8 + 0.5)
    offset = (uniform[:, 3:5] * (2 * reach + 1)).long() - reach  # (B, 2)
    line = torch.arange(size, device=images.device)
    source = line[None, None] - offset[:, :, None]  # (B, 2, S): where each row and column is from
    inside = ((source >= 0) & (source < size)).to(images.dtype)
    rows, columns = source.clamp(0, size - 1).unbind(1)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]  # (B, S, S, C)
    mask = inside[:, 0, :, None] * inside[:, 1, None, :]  # (B, S, S)
    return moved.permute(0, 3, 1, 2) * mask[:, None]


def _cutout(images: Tensor, uniform: Tensor) -> Tensor:
    """A square hole of half the side, set to 0; holes that cross the border are smaller."""
    size = images.shape[-1]
    side = int(size / 2 + 0.5)
    centre = (uniform[:, 5:7] * (size + 1 - side % 2)).long()  # (B, 2)
    start = (centre - side // 2).clamp(0, size - 1)[:, :, None]
    end = (centre - side // 2 + side - 1).clamp(0, size - 1)[:, :, None]
    line = torch.arange(size, device=images.device)
    within = (line >= start) & (line <= end)  # (B, 2, S)
    hole = within[:, 0, :, None] & within[:, 1, None, :]  # (B, S, S)
    return images * (~hole)[:, None].to(images.dtype)


_CHANGES: dict[Augmentation, Callable[[Tensor, Tensor], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
