"""VGG-16 by torchvision's weights of ImageNet.

Simonyan & Zisserman 2015 (arXiv:1409.1556).
"""

from __future__ import annotations

from pathlib import Path

from genkit.errors import WeightsError
from genkit.nn.pretrained.weights import Loaded, Weights, read_state, sha256_of, shortened

SIZE = 224  # px, side of the input
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels in [0, 1]
PUBLISHED = Weights(
    "vgg16-397923af.pth",
    ("https://download.pytorch.org/models/vgg16-397923af.pth",),
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)


def load(path: Path | None = None) -> Loaded:
    """The network from `path`, else from the user's cache, else fetched there once.

    It takes (B, 3, 224, 224) of ImageNet's mean 0 and deviation 1.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    from torchvision.models import vgg16

    path = path or PUBLISHED.fetched("vgg16")
    network = vgg16(init_weights=False)
    state, digest = read_state(path), sha256_of(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = shortened(error)
        raise WeightsError(f"{path}: not weights of torchvision's VGG-16 ({reason})") from None
    return Loaded(network.eval().requires_grad_(False), digest, digest == PUBLISHED.sha256)
