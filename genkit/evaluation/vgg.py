"""VGG-16, whose second hidden layer is the space of improved precision and recall.

Simonyan & Zisserman 2015 (arXiv:1409.1556), torchvision's weights of ImageNet; features as
Kynkäänniemi et al. 2019 (arXiv:1904.06991) take them: fc2 after ReLU, 4,096 units.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.resize import Resize, resize
from genkit.evaluation.weights import Weights, read_state, sha256_of

SIZE = 224  # px, side of the input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels in [0, 1]
PUBLISHED = Weights(
    "vgg16-397923af.pth",
    ("https://download.pytorch.org/models/vgg16-397923af.pth",),
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)


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


def load_vgg(
    path: Path | None = None, *, how: Resize = "clean", device: torch.device | str = "cpu"
) -> VggExtractor:
    """`vgg16` from `path`, else from the user's cache, else fetched there once.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is not in the format.
    """
    from torchvision.models import vgg16

    path = path or PUBLISHED.fetched("vgg16")
    network = vgg16(init_weights=False)
    state, digest = read_state(path), sha256_of(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise EvaluationError(f"{path}: not weights of torchvision's VGG-16 ({reason})") from None
    network.classifier = network.classifier[:5]  # up to the ReLU of fc2
    name = "vgg16" if digest == PUBLISHED.sha256 else f"vgg16-{digest[:8]}"
    return VggExtractor(network, name, digest, how, device)
