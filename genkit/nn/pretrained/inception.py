"""Inception v3 as FID uses it: the TensorFlow graph of 2015-12-05, torchvision's names of weights.

Szegedy et al. 2016 (arXiv:1512.00567). Against torchvision's class of that name: 1,008 logits, mean
pools that do not count their border, and a maximum in the last block's pool. Both are in the graph
that Heusel et al. 2017 (arXiv:1706.08500) used, and pytorch-fid's weights were converted for them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genkit.errors import WeightsError
from genkit.nn.pretrained.weights import Loaded, Weights, read_state, sha256_of, shortened

PUBLISHED = Weights(
    "pt_inception-2015-12-05-6726825d.pth",
    (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
    ),
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
TORCHSCRIPT = Weights(
    "inception-2015-12-05.pt",
    (
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
        "inception-2015-12-05.pt",
    ),
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
CLASSES = 1008
FEATURES = 2048
SIZE = 299  # px, side of the input

Layer = tuple[str, int, tuple[int, int]]  # name, channels, kernel

mean_pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
max_pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
halving_pool = partial(F.max_pool2d, kernel_size=3, stride=2)


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU; one convolution with bias after `fold`."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        kernel: tuple[int, int],
        stride: int = 1,
        padded: bool = True,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(fan_in, fan_out, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(fan_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, h, w), none negative."""
        return F.relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """Take the batch norm into the convolution: the same function in one operation."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class Mixed(nn.Module):
    """Branches over one input, joined by channel.

    Args:
        fan_in: Channels of the input.
        branches: Each a chain of layers; a list of layers at its end are side by side.
        pool: The last branch.
        pool_channels: Of the 1 x 1 convolution after the pool; None = there is none.
        stride: Of the last layer of each branch; 2 comes without padding.
    """

    def __init__(
        self,
        fan_in: int,
        branches: Sequence[Sequence[Layer | list[Layer]]],
        pool: partial[Tensor],
        pool_channels: int | None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.pool, self.channels = pool, 0
        self.chains: list[tuple[list[str], list[str]]] = []
        for branch in branches:
            *stem, last = branch
            ends = last if isinstance(last, list) else [last]
            width = fan_in
            for layer in stem:
                assert isinstance(layer, tuple)
                name, fan_out, kernel = layer
                self.add_module(name, Conv(width, fan_out, kernel))
                width = fan_out
            for name, fan_out, kernel in ends:
                self.add_module(name, Conv(width, fan_out, kernel, stride, padded=stride == 1))
                self.channels += fan_out
            self.chains.append(([layer[0] for layer in stem if isinstance(layer, tuple)],
                                [layer[0] for layer in ends]))  # fmt: skip
        self.branch_pool: nn.Module = nn.Identity()
        if pool_channels is not None:
            self.branch_pool = Conv(fan_in, pool_channels, (1, 1))
        self.channels += fan_in if pool_channels is None else pool_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, channels, h, w)."""
        found = []
        for stem, ends in self.chains:
            inner = x
            for name in stem:
                inner = self.get_submodule(name)(inner)
            found += [self.get_submodule(name)(inner) for name in ends]
        return torch.cat([*found, self.branch_pool(self.pool(x))], 1)


def mixed_35(fan_in: int, pool_channels: int) -> Mixed:
    """35 px: "InceptionA" of torchvision."""
    return Mixed(
        fan_in,
        [
            [("branch1x1", 64, (1, 1))],
            [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))],
            [
                ("branch3x3dbl_1", 64, (1, 1)),
                ("branch3x3dbl_2", 96, (3, 3)),
                ("branch3x3dbl_3", 96, (3, 3)),
            ],
        ],
        mean_pool,
        pool_channels,
    )


def mixed_35_to_17(fan_in: int) -> Mixed:
    """35 px -> 17 px: "InceptionB"."""
    return Mixed(
        fan_in,
        [
            [("branch3x3", 384, (3, 3))],
            [
                ("branch3x3dbl_1", 64, (1, 1)),
                ("branch3x3dbl_2", 96, (3, 3)),
                ("branch3x3dbl_3", 96, (3, 3)),
            ],
        ],
        halving_pool,
        None,
        stride=2,
    )


def mixed_17(fan_in: int, width: int) -> Mixed:
    """17 px: "InceptionC"."""
    return Mixed(
        fan_in,
        [
            [("branch1x1", 192, (1, 1))],
            [
                ("branch7x7_1", width, (1, 1)),
                ("branch7x7_2", width, (1, 7)),
                ("branch7x7_3", 192, (7, 1)),
            ],
            [
                ("branch7x7dbl_1", width, (1, 1)),
                ("branch7x7dbl_2", width, (7, 1)),
                ("branch7x7dbl_3", width, (1, 7)),
                ("branch7x7dbl_4", width, (7, 1)),
                ("branch7x7dbl_5", 192, (1, 7)),
            ],
        ],
        mean_pool,
        192,
    )


def mixed_17_to_8(fan_in: int) -> Mixed:
    """17 px -> 8 px: "InceptionD"."""
    return Mixed(
        fan_in,
        [
            [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3))],
            [
                ("branch7x7x3_1", 192, (1, 1)),
                ("branch7x7x3_2", 192, (1, 7)),
                ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, (3, 3)),
            ],
        ],
        halving_pool,
        None,
        stride=2,
    )


def mixed_8(fan_in: int, pool: partial[Tensor]) -> Mixed:
    """8 px: "InceptionE", with one of two pools."""
    return Mixed(
        fan_in,
        [
            [("branch1x1", 320, (1, 1))],
            [
                ("branch3x3_1", 384, (1, 1)),
                [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))],
            ],
            [
                ("branch3x3dbl_1", 448, (1, 1)),
                ("branch3x3dbl_2", 384, (3, 3)),
                [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))],
            ],
        ],
        pool,
        192,
    )


class InceptionV3(nn.Module):
    """(B, 3, 299, 299) in [-1, 1] -> (B, 2048): the last block's mean over its 8 x 8 places."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, (3, 3), 2, padded=False)
        self.Conv2d_2a_3x3 = Conv(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Conv(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Conv(80, 192, (3, 3), padded=False)
        self.Mixed_5b = mixed_35(192, 32)
        self.Mixed_5c = mixed_35(256, 64)
        self.Mixed_5d = mixed_35(288, 64)
        self.Mixed_6a = mixed_35_to_17(288)
        self.Mixed_6b = mixed_17(768, 128)
        self.Mixed_6c = mixed_17(768, 160)
        self.Mixed_6d = mixed_17(768, 160)
        self.Mixed_6e = mixed_17(768, 192)
        self.Mixed_7a = mixed_17_to_8(768)
        self.Mixed_7b = mixed_8(1280, mean_pool)
        self.Mixed_7c = mixed_8(2048, max_pool)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The features; `fc` makes logits of them."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halving_pool(x)))
        x = halving_pool(x)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))

    def fold(self) -> InceptionV3:
        """Batch norms folded, channels last: 1.6 times as fast on a CPU, the same in fp32."""
        for module in self.modules():
            if isinstance(module, Conv):
                module.fold()
        return self.to(memory_format=torch.channels_last)


def load(path: Path | None = None) -> Loaded:
    """pytorch-fid's file, from `path`, else from the user's cache, else fetched there once.

    Batch norms are folded into the convolutions, and `network.fc` gives the logits.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or PUBLISHED.fetched("inception-v3")
    network = InceptionV3()
    state, digest = read_state(path), sha256_of(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{path}: not weights of the FID Inception network ({shortened(error)}); fetch "
            f"{PUBLISHED.urls[0]}, or name a TorchScript file as "
            "--extractor inception-v3-torchscript"
        ) from None
    return Loaded(network.eval().fold(), digest, digest == PUBLISHED.sha256)


def load_torchscript(path: Path | None = None, *, device: torch.device | str = "cpu") -> Loaded:
    """The layers of StyleGAN2-ADA's file, which clean-fid uses, found in the same way.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or TORCHSCRIPT.fetched("inception-v3-torchscript")
    try:
        with warnings.catch_warnings():
            # torch announces the end of TorchScript; these weights exist in no other form.
            warnings.simplefilter("ignore", FutureWarning)
            layers = torch.jit.load(str(path), map_location=torch.device(device)).layers
        digest = sha256_of(path)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a TorchScript Inception file ({shortened(error)}); "
            f"fetch it from {TORCHSCRIPT.urls[0]}"
        ) from None
    return Loaded(layers, digest, digest == TORCHSCRIPT.sha256)
