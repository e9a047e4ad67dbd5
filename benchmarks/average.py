"""Arms: one update of an exponential moving average of a U-Net's weights.

The networks are diffusers' `UNet2DModel`: "small" has 4.44 M weights in 182 tensors, "cifar10" the
35.75 M in 328 of google/ddpm-cifar10-32.
"""

from __future__ import annotations

from typing import Any, Literal

from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from torch import nn

from benchmarks.step import Measured
from benchmarks.timing import Laps, this_device
from genkit.machine import keep_freed_memory
from genkit.training.ema import EMA

Size = Literal["small", "cifar10"]
DECAY = 0.999
LAP = 10  # updates

SHAPES: dict[Size, dict[str, Any]] = {
    "small": {
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 1,
        "block_out_channels": (64, 128, 128),
        "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    },
    "cifar10": {
        "layers_per_block": 2,
        "block_out_channels": (128, 256, 256, 256),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    },
}


def unet(size: Size) -> nn.Module:
    """The network, on this machine's device."""
    network: Any = UNet2DModel(sample_size=32, **SHAPES[size])
    return network.to(this_device())


def diffusers(*, size: Size, foreach: bool = False, laps: int = 20) -> Measured:
    """Arm: diffusers' EMAModel."""
    network = unet(size)
    average = EMAModel(network.parameters(), decay=DECAY, foreach=foreach)
    timed = Laps(this_device(), warmup=LAP, count=laps, length=LAP)
    return {"seconds": timed.time(lambda: average.step(network.parameters()))}


def genkit(*, size: Size, laps: int = 20) -> Measured:
    """Arm: genkit's EMA."""
    keep_freed_memory()
    network = unet(size)
    average = EMA({"unet": network}, DECAY, warmup=True)
    timed = Laps(this_device(), warmup=LAP, count=laps, length=LAP)
    return {"seconds": timed.time(lambda: average.update({"unet": network}, 10**6))}
