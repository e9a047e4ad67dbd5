"""`dinov2-vitl14`: features of the class token, which judge generative models well.

The Fréchet distance on them: Stein et al. 2023 (arXiv:2306.04675), whose tool resizes by Pillow's
bicubic filter on 8 bits.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from genkit.evaluation.extractor import Entry, Extractor
from genkit.evaluation.processes import fetched
from genkit.evaluation.resize import pillow_bicubic
from genkit.nn.pretrained import dinov2
from genkit.nn.pretrained.vgg import MEAN, STD

SIZE = 224  # px, side of the input


class Dinov2Extractor(Extractor):
    """The network as an `Extractor`."""

    layer = "class token (1024 units)"
    resize = f"Pillow bicubic on 8 bits to {SIZE} px, mean and deviation of ImageNet"
    batch_size = 16

    def __init__(
        self, network: nn.Module, name: str, sha256: str, device: torch.device | str
    ) -> None:
        self.name, self.sha256 = name, sha256
        self._network = network.eval().requires_grad_(False).to(device)
        self._mean, self._std = (
            torch.tensor(channels, device=device)[:, None, None] for channels in (MEAN, STD)
        )

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, 224, 224) float32, ImageNet's mean 0 and deviation 1."""
        resized = pillow_bicubic(images.expand(-1, 3, -1, -1), SIZE)
        return (resized.to(self._mean.device) / 255 - self._mean) / self._std

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, D) float32 on the CPU."""
        return self._network(inputs.to(self._mean.device)).float().cpu()


def load(path: Path | None = None, *, device: torch.device | str = "cpu") -> Dinov2Extractor:
    """The extractor from `path`, else from the user's cache, else fetched there once.

    A file of another width or depth of the same architecture loads too, under another name.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    found = dinov2.load(path or fetched(dinov2.PUBLISHED, "dinov2-vitl14"))
    name = "dinov2-vitl14" if found.is_published else f"dinov2-{found.sha256[:8]}"
    return Dinov2Extractor(found.network, name, found.sha256, device)


EXTRACTOR = Entry(load, usual=("fd", "kid", "prdc"))
