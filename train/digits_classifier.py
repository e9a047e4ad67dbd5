"""Train the digits classifier that ships in genkit/nn/pretrained.

    python train/digits_classifier.py --mnist PATH --out digits.safetensors

PATH holds the four IDX files of MNIST; the glyphs are drawn. Prints the accuracy on both test sets
and the SHA-256 that belongs into genkit/nn/pretrained/digits.py. The weights in the package are
fixed: training them anew changes every `fd-digits`, so it is a new version of the metric.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from genkit.data import open_data, open_reference
from genkit.data.readers.glyphs import GlyphsData
from genkit.data.readers.mnist import MnistData
from genkit.nn.pretrained.digits import DigitsNet, to_grey
from genkit.random import generator, permutation
from genkit.rows.base import Rows

SEED = 0
EPOCHS = 8
BATCH = 250
LR = 3e-3
SMOOTHING = 0.05  # of the labels; keeps the features of sure digits from growing without end
GLYPH_REPEATS = 2  # glyphs are 10,000, MNIST is 60,000


def main() -> None:
    """Train, print both accuracies, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder with the IDX files")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args()
    mnist = MnistData(image_size=28)
    glyphs = GlyphsData(image_size=32)
    sets = {
        f"{name} {split}": tensors(source)
        for split in ("train", "test")
        for name, source in (
            ("mnist", open_reference(f"mnist:{split}", root=arguments.mnist, like=mnist)),
            ("glyphs", open_data(glyphs, split)),
        )
    }
    parts = [sets["mnist train"]] + [sets["glyphs train"]] * GLYPH_REPEATS
    network = train(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    for name, (grey, labels) in sets.items():
        print(f"{name}: {accuracy(network, grey, labels):.4f} of {len(labels)}")
    content = save({k: v.contiguous() for k, v in network.state_dict().items()})
    arguments.out.write_bytes(content)
    print(f"{arguments.out}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def tensors(source: Rows) -> tuple[Tensor, Tensor]:
    """All images as the classifier sees them, (N, 1, 32, 32) in [0, 1], and their labels (N,)."""
    labels = source.labels
    if labels is None:
        raise SystemExit(f"{source.name} has no labels")
    chunks = torch.arange(len(source)).split(2_000)
    return torch.cat([to_grey(source.read(chunk, ("image",))["image"]) for chunk in chunks]), labels


def train(grey: Tensor, labels: Tensor) -> DigitsNet:
    """AdamW on one cosine, in bf16 where autocast allows; the same on every run of a machine."""
    torch.manual_seed(SEED)  # the initial weights; everything else is keyed
    network = DigitsNet().train().to(memory_format=torch.channels_last)
    steps = EPOCHS * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, steps, pct_start=0.15)
    for epoch in range(EPOCHS):
        start, total = time.monotonic(), 0.0
        order = permutation(SEED, epoch, len(labels))
        for i, rows in enumerate(order.split(BATCH)[: len(labels) // BATCH]):
            batch = augment(grey[rows], generator(SEED, "augment", epoch, i))
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(batch.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels[rows], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch}: loss {total / (i + 1):.4f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
    return network.eval()


def augment(grey: Tensor, draw: torch.Generator) -> Tensor:
    """Each image turned, scaled, sheared, shifted and made brighter or darker by a little."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(len(grey), generator=draw) * (high - low) + low

    angle = uniform(-10, 10) * math.pi / 180
    scale_x, scale_y, shear = uniform(0.9, 1.1), uniform(0.9, 1.1), uniform(-0.1, 0.1)
    rows = [
        angle.cos() * scale_x,
        shear - angle.sin(),
        uniform(-2, 2) / 16,  # px of half a side
        angle.sin() + shear,
        angle.cos() * scale_y,
        uniform(-2, 2) / 16,
    ]
    theta = torch.stack(rows, 1).view(-1, 2, 3)
    moved = F.grid_sample(
        grey, F.affine_grid(theta, list(grey.shape), align_corners=False), align_corners=False
    )
    return (moved * uniform(0.7, 1.2)[:, None, None, None]).clamp_(0, 1)


@torch.inference_mode()
def accuracy(network: DigitsNet, grey: Tensor, labels: Tensor) -> float:
    """Share of images whose digit is named rightly."""
    named = torch.cat([network(chunk).argmax(1) for chunk in grey.split(1_000)])
    return (named == labels).double().mean().item()


if __name__ == "__main__":
    main()
