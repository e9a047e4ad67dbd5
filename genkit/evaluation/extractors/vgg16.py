"""`vgg16`: the space of improved precision and recall.

Features as Kynkäänniemi et al. 2019 (arXiv:1904.06991) take them: fc2 after ReLU, 4,096 units.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from genkit.evaluation.extractor import Entry, Extractor
from genkit.evaluation.processes import fetched
from genkit.evaluation.resize import Resize, resize
from genkit.nn.pretrained import vgg
from genkit.nn.pretrained.vgg import MEAN, SIZE, STD


class VggExtractor(Extractor):
    """The network up to fc2 as an `Extractor`."""

    layer = "fc2 (4096 units after ReLU)"
    batch_size = 16

    def __init__(
        self, network: nn.Module, name: str, sha256: str, how: Resize, device: torch.device | str
    ) -> None:
        self.name, self.sha256, self.resize = name, sha256, f"{how} to {SIZE} px, mean of ImageNet"
        self._how: Resize = how
        self._network = network.eval().requires_grad_(False).to(device)
        self._mean, self._std = (
            255 * torch.tensor(channels, device=device)[:, None, None] for channels in (MEAN, STD)
        )

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, 224, 224) float32, ImageNet's mean 0 and deviation 1."""
        rgb = images.to(self._mean.device).expand(-1, 3, -1, -1)
        return resize(rgb, SIZE, self._how).sub_(self._mean).div_(self._std)

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 4096) float32 on the CPU."""
        return self._network(inputs.to(self._mean.device)).float().cpu()


def load(
    path: Path | None = None, *, how: Resize = "clean", device: torch.device | str = "cpu"
) -> VggExtractor:
    """The extractor from `path`, else from the user's cache, else fetched there once.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    found = vgg.load(path or fetched(vgg.PUBLISHED, "vgg16"))
    network = found.network
    network.classifier = network.classifier[:5]  # type: ignore[index]  # up to the ReLU of fc2
    name = "vgg16" if found.is_published else f"vgg16-{found.sha256[:8]}"
    return VggExtractor(network, name, found.sha256, how, device)


EXTRACTOR = Entry(load, usual=("prdc",))
