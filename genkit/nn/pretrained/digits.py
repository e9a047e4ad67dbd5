"""A small classifier of the ten digits that ships with genkit.

Architecture, feature layer and input are fixed: `fd-digits` of two models may be compared only
because both were measured by the same weights. `train/digits_classifier.py` made them, from MNIST
and the glyphs together.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.pretrained.weights import shipped

WEIGHTS = Path(__file__).parent / "digits.safetensors"
WEIGHTS_SHA256 = "467cf4fea4fcd8f600d41d4595c53266f01ce3e5c65e5f23471a39128aff4e8b"
SIZE = 32  # px, side of the input
FEATURES = 128  # width of the hidden layer
CLASSES = 10
INPUT = "luma BT.601; 28 px padded with black to 32 px, other sizes antialiased bicubic to 32"


class DigitsNet(nn.Module):
    """Grey images (B, 1, 32, 32) in [0, 1] -> ten logits (B, 10), over 128 hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(1, 16),
            *_block(16, 16),
            nn.MaxPool2d(2),
            *_block(16, 32),
            *_block(32, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            *_block(64, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(64 * (SIZE // 8) ** 2, FEATURES)
        self.head = nn.Linear(FEATURES, CLASSES)

    def features(self, grey: Tensor) -> Tensor:
        """The hidden layer after ReLU: (B, 128), none negative."""
        return F.relu(self.hidden(self.body(grey)))

    def forward(self, grey: Tensor) -> Tensor:
        """(B, 1, 32, 32) in [0, 1] -> (B, 10) logits."""
        return self.head(self.features(grey))


def _block(fan_in: int, fan_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]


def to_grey(images: Tensor) -> Tensor:
    """(B, C, H, W) uint8, C 1 or 3 -> (B, 1, 32, 32) float32 in [0, 1], as the classifier sees it.

    Colour becomes luma of ITU-R BT.601. 28 px images get a border of two black pixels, as MNIST
    has it; every other size but 32 is resized with antialiased bicubic weights and clipped.
    """
    grey = images.to(torch.float32).div_(255)
    if grey.shape[1] == 3:
        grey = torch.einsum("bchw,c->bhw", grey, grey.new_tensor([0.299, 0.587, 0.114]))[:, None]
    if grey.shape[2:] == (28, 28):
        return F.pad(grey, (2, 2, 2, 2))
    if grey.shape[2:] == (SIZE, SIZE):
        return grey
    resized = F.interpolate(grey, (SIZE, SIZE), mode="bicubic", antialias=True)
    return resized.clamp_(0, 1)


def load(path: Path | None = None, *, sha256: str = WEIGHTS_SHA256) -> DigitsNet:
    """The classifier with the shipped weights, fixed and in evaluation mode.

    Raises:
        WeightsError: The file can't be read or is another one.
    """
    network = DigitsNet()
    network.load_state_dict(shipped(path or WEIGHTS, sha256))
    return network.eval().requires_grad_(False)
