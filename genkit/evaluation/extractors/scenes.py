"""`scenes`: the reader of drawn scenes that ships with genkit; needs no download."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.evaluation.extractor import Entry, Extractor
from genkit.nn.pretrained import scenes


class SceneExtractor(Extractor):
    """What the reader of scenes sees, as features.

    Args:
        path: Of the weights; None = those that come with genkit.
        sha256: Of their file.
        device: Where the network runs.
    """

    name = "scenes"
    layer = "cells before the answers, mean and maximum (160)"
    resize = f"grey as colour; antialiased bicubic to {scenes.SIZE} x {scenes.SIZE} px"
    batch_size = 256

    def __init__(
        self,
        path: Path | None = None,
        *,
        sha256: str = scenes.WEIGHTS_SHA256,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sha256 = sha256
        self.network = scenes.load(path, sha256=sha256).to(device)
        self._device = torch.device(device)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> the network's pictures (B, 3, 32, 32), float32 in [-1, 1]."""
        pixels = images.to(self._device).to(torch.float32).div_(255).expand(-1, 3, -1, -1)
        size = (scenes.SIZE, scenes.SIZE)
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
        return pixels * 2 - 1

    def features(self, inputs: Tensor) -> Tensor:
        """Pictures (B, 3, 32, 32) -> (B, 160) float32 on the CPU."""
        found: Tensor = self.network.features(inputs.to(self._device)).cpu()
        return found


EXTRACTOR = Entry(SceneExtractor)
