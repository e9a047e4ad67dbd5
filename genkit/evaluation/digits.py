"""A small digits classifier that ships with genkit: features and classes without any download.

Architecture, feature layer and input are fixed: `fd-digits` of two models may be compared only
because both were measured by the same weights. `train/digits_classifier.py` made them, from MNIST
and the glyphs together.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor

WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"
WEIGHTS_SHA256 = "467cf4fea4fcd8f600d41d4595c53266f01ce3e5c65e5f23471a39128aff4e8b"
SIZE = 32  # px, side of the input
FEATURES = 128  # width of the hidden layer
CLASSES = 10


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


class DigitsExtractor(Extractor):
    """The shipped classifier as an `Extractor` that can also name the digit."""

    name = "digits"
    layer = "hidden (128 units after ReLU)"
    resize = "luma BT.601; 28 px padded with black to 32 px, other sizes antialiased bicubic to 32"
    batch_size = 256

    def __init__(self, network: DigitsNet, sha256: str) -> None:
        self.network = network.eval().requires_grad_(False)
        self.sha256 = sha256

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
    sha256: str = WEIGHTS_SHA256,
    device: torch.device | str = "cpu",
) -> DigitsExtractor:
    """The classifier with the shipped weights, or `EvaluationError` if the file is another one."""
    path = path or WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path}: can't be read ({error}); install genkit again") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EvaluationError(
            f"{path}: SHA-256 is {found[:16]}…, expected {sha256[:16]}…; these are other weights "
            "and would give other numbers under the same name: install genkit again"
        )
    network = DigitsNet()
    network.load_state_dict(load(content))
    return DigitsExtractor(network.to(device), found)
