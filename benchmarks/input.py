"""Arms: batches of 64 from a set in memory, by per-image transforms and by genkit's loader.

The classic arm holds its images as torchvision's MNIST and CIFAR10 classes do, one uint8 array, and
makes a PIL picture of each before its transforms. genkit resizes once, when a set is opened.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.step import Measured, random_images
from benchmarks.timing import Laps
from genkit.data import Loader
from genkit.data.readers.custom import CustomData
from genkit.machine import keep_freed_memory
from genkit.rows.base import image_rows

COUNT = 20_000
BATCH = 64
CPU = torch.device("cpu")


class Pictures(Dataset[tuple[Tensor, int]]):
    """(image, label) by index, the image through PIL and `transform`.

    Args:
        pixels: (N, C, S, S) uint8.
        transform: From a PIL picture to a tensor.
    """

    def __init__(self, pixels: Tensor, transform: Any) -> None:
        grey = pixels.shape[1] == 1
        self.arrays = (pixels[:, 0] if grey else pixels.permute(0, 2, 3, 1)).contiguous().numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), index % 10


def per_image(
    *,
    size: int,
    channels: int,
    stored: int | None = None,
    flip: bool = False,
    count: int = COUNT,
    laps: int = 10,
) -> Measured:
    """Arm: torchvision transforms in a DataLoader without workers.

    Args:
        size: Px of the batches.
        channels: 1 or 3.
        stored: Px of the set where it differs: then each image is resized.
        flip: Mirror at random.
        count: Images in the set.
        laps: Of 10 batches each.
    """
    steps = [transforms.Resize(size)] if stored else []
    steps += [transforms.RandomHorizontalFlip()] if flip else []
    steps += [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.5] * channels)]
    pictures = Pictures(random_images(stored or size, count, channels), transforms.Compose(steps))
    loader = DataLoader(pictures, BATCH, shuffle=True, drop_last=True)
    timed = Laps(CPU, warmup=5, count=laps, length=10)
    batches = (batch for _ in iter(int, 1) for batch in loader)
    return {"seconds": timed.time(lambda: next(batches)) / BATCH}


def in_memory(
    *, size: int, channels: int, flip: bool = False, count: int = COUNT, laps: int = 10
) -> Measured:
    """Arm: genkit's loader, its order, flips and labels included; laps of 300 batches."""
    keep_freed_memory()
    pixels, labels = random_images(size, count, channels), torch.arange(count) % 10
    data = CustomData(
        kind="custom", image_size=size, channels=channels, batch_size=BATCH, flip=flip
    )
    batches = Loader(image_rows("random", pixels, labels), data, seed=0).steps()
    timed = Laps(CPU, warmup=50, count=laps, length=300)
    return {"seconds": timed.time(lambda: next(batches)) / BATCH}
