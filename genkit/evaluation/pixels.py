"""Images by their own grey levels: what finds copies, with no network that might overlook one."""

from __future__ import annotations

from torch import Tensor

from genkit.evaluation.extractor import Extractor
from genkit.nn.pretrained import digits


class Pixels(Extractor):
    """The grey 32 px image itself, so that one pass over a set serves copies too."""

    name = "pixels"
    sha256 = "none"
    layer = "grey levels in [0, 1]"
    resize = digits.INPUT
    batch_size = 256

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 1, 32, 32) float32 in [0, 1]."""
        return digits.to_grey(images)

    def features(self, inputs: Tensor) -> Tensor:
        """(B, 1, 32, 32) -> (B, 1024)."""
        return inputs.flatten(1)
