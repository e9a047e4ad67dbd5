"""What a user would write to bring an extractor."""

from __future__ import annotations

from torch import Tensor

from genkit.evaluation import Extractor


class Corners(Extractor):
    """The four corner pixels of the first channel."""

    name, sha256, layer, resize = "corners", "none", "pixels", "none"

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2, 2) float32."""
        return images[:, 0, :: images.shape[2] - 1, :: images.shape[3] - 1].float()

    def features(self, inputs: Tensor) -> Tensor:
        """(B, 2, 2) -> (B, 4)."""
        return inputs.flatten(1)
