"""`digits`: the classifier of ten digits that ships with genkit; it needs no download."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from genkit.evaluation.extractor import Entry, Extractor
from genkit.nn.pretrained import digits
from genkit.nn.pretrained.digits import DigitsNet, to_grey


class DigitsExtractor(Extractor):
    """The shipped classifier as an `Extractor` that can also name the digit."""

    name = "digits"
    layer = "hidden (128 units after ReLU)"
    resize = digits.INPUT
    batch_size = 256

    def __init__(self, network: DigitsNet, sha256: str) -> None:
        self.network, self.sha256 = network, sha256

    @property
    def has_classes(self) -> bool:
        """The ten digits."""
        return True

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 1, 32, 32) float32 in [0, 1]."""
        return to_grey(images.to(self.network.head.weight.device))

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 1, 32, 32) -> (B, 128) float32 on the CPU."""
        return self.network.features(inputs.to(self.network.head.weight.device)).cpu()

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, 128) features -> (B, 10), on the CPU."""
        return self.network.head(features.to(self.network.head.weight)).cpu()

    def classify(self, features: Tensor) -> Tensor:
        """(B, 128) features -> (B,) int64, the digit of each."""
        return self.logits(features).argmax(1)


def load_digits(
    path: Path | None = None,
    *,
    sha256: str = digits.WEIGHTS_SHA256,
    device: torch.device | str = "cpu",
) -> DigitsExtractor:
    """The classifier with the shipped weights, or a `WeightsError` if the file is another one."""
    return DigitsExtractor(digits.load(path, sha256=sha256).to(device), sha256)


EXTRACTOR = Entry(load_digits, usual=("fd", "prdc", "modes", "accuracy"))
