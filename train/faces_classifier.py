"""Train the classifier of drawn faces that ships in genkit/nn/pretrained.

    python train/faces_classifier.py --run runs/faces-judge --out faces.safetensors

Trains configs/classifier/faces.yaml into a run folder, or goes on with one, prints the accuracy of
each attribute on the test part and on softer and grainier faces, writes the averaged weights and
prints the SHA-256 that belongs into genkit/nn/pretrained/faces.py. The weights in the package are
fixed: training them anew changes every `fd-faces` and every accuracy by them, so it is a new
version of the metric. It is due when the drawing of faces changes (VERSION in
genkit/data/readers/faces.py).
"""

from __future__ import annotations

import argparse
import hashlib
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import genkit
from genkit.data import open_data
from genkit.data.readers.faces import FacesData
from genkit.evaluation import load_extractor
from genkit.images import from_numpy, to_pil
from genkit.random import generator
from genkit.training.checkpoints import steps

CONFIG = Path(__file__).parent.parent / "configs" / "classifier" / "faces.yaml"
WEIGHTS = Path("export", "classifier", "diffusion_pytorch_model.safetensors")
ENOUGH = 0.98  # of the accuracy of each attribute


def main() -> None:
    """Train, print the accuracies, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder, new or begun")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args()
    begun = bool(steps(arguments.run / "checkpoints"))
    run = genkit.train(CONFIG, out=arguments.run, resume=begun)
    found = genkit.evaluate(run)
    for value in found.metrics:
        short = value.name.startswith("accuracy") and value.value < ENOUGH
        print(f"{value.name}: {value.value:.4f}{' (short of .98)' if short else ''}")
    for name, least in degraded_accuracies(run).items():
        print(f"1,000 faces, {name}: {least}")
    content = (run / WEIGHTS).read_bytes()
    arguments.out.write_bytes(content)
    print(f"{arguments.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def degraded_accuracies(run: Path) -> dict[str, str]:
    """The mean and the least accuracy on faces that are softer or grainier than drawn ones."""
    judge = load_extractor(str(run))
    assert judge.flag_names is not None
    rows = open_data(FacesData(image_size=32), "test").read(range(1_000), ("image", "attributes"))
    images, real = rows["image"], rows["attributes"] > 0
    found = {}
    for name, seen in {
        "as they are": images,
        "blurred": _blurred(images),
        "noisy": _noisy(images),
        "as JPEG of quality 75": torch.stack([_jpeg(image) for image in images]),
    }.items():
        right = ((judge.shares(judge.of(seen)) > 0.5) == real).double().mean(0)
        least = judge.flag_names[int(right.argmin())]
        found[name] = f"{right.mean():.4f}, least {right.min():.4f} ({least})"
    return found


def _blurred(images: Tensor) -> Tensor:
    row = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(3, 1, 3, 3)
    padded = F.pad(images.float(), [1] * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=3).round().to(torch.uint8)


def _noisy(images: Tensor) -> Tensor:
    """With noise of 0.03 of the range."""
    noise = torch.randn(images.shape, generator=generator(0, "noise"))
    return (images + 0.03 * 255 * noise).clamp(0, 255).to(torch.uint8)


def _jpeg(image: Tensor) -> Tensor:
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "JPEG", quality=75)
    return from_numpy(np.array(Image.open(buffer))[None])[0]


if __name__ == "__main__":
    main()
