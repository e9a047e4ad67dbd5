"""Arms: Inception features of PNG files, by clean-fid and by genkit, and Fréchet distances.

The published weights are not needed: every arm gets the same seeded network, its batch norms
calibrated, for features of an uncalibrated one are constant. clean-fid gets it as a TorchScript
file, which is how it loads the published network.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.step import Measured
from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Precision
from genkit.evaluation.extractors import load_extractor
from genkit.evaluation.frechet import frechet_distance
from genkit.evaluation.moments import Gaussian
from genkit.images import png_bytes
from genkit.machine import keep_freed_memory
from genkit.nn.pretrained.inception import SIZE, InceptionV3
from genkit.random import generator
from genkit.rows.files import open_path

CPU = torch.device("cpu")

# -- what all arms get -----------------------------------------------------------------------------


def seeded_inception() -> InceptionV3:
    """Random convolutions, batch norms calibrated on a few smooth images."""
    network = InceptionV3()
    draw = generator(0, "inception")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # a plain average
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0, 0.05, generator=draw)
                module.bias.normal_(0, 0.05, generator=draw)
        network.train()
        network((smooth(8, SIZE, "calibration").float() - 128) / 128)
    return network.eval()


def smooth(count: int, size: int = 32, purpose: str = "smooth") -> Tensor:
    """(count, 3, size, size) uint8: blobs, so that a network sees shapes and not only noise."""
    coarse = torch.rand(count, 3, 5, 5, generator=generator(0, purpose))
    fine = nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return (fine.clamp(0, 1) * 255).to(torch.uint8)


class Outer(nn.Module):
    """The outer shape of the TorchScript file: `layers`, and a forward pass over them."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 299, 299) in 0..255 -> features."""
        found: Tensor = self.layers((x - 128) / 128)
        return found


def save_torchscript(layers: nn.Module, path: Path) -> None:
    """Write a network as the TorchScript file of clean-fid is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(Outer(layers).eval(), torch.zeros(1, 3, SIZE, SIZE))
        traced.save(str(path))


def _files(folder: Path, count: int) -> Path:
    path = folder / "images"
    path.mkdir()
    for i, image in enumerate(smooth(count)):
        (path / f"{i:05d}.png").write_bytes(png_bytes(image))
    return path


# -- features of files -----------------------------------------------------------------------------


def features_work(
    library: Literal["genkit", "clean-fid"],
    network: InceptionV3,
    folder: Path,
    files: Path,
    precision: Precision,
    device: torch.device = CPU,
) -> Callable[[], Any]:
    """What takes a folder of files to the features of a network, whose file lies in `folder`."""
    if library == "genkit":
        torch.save(network.state_dict(), folder / "inception.pth")
        path = folder / "inception.pth"
        extractor = load_extractor("inception-v3", path, precision=precision, device=device)
        return lambda: features_of(open_path(files), extractor)
    from cleanfid import fid

    save_torchscript(network, folder / "inception.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = torch.jit.load(str(folder / "inception.pt")).eval().to(device)
    options: dict[str, Any] = {"num_workers": 0, "batch_size": 32, "verbose": False}
    return lambda: fid.get_folder_features(
        str(files), model=loaded, device=device, mode="clean", **options
    )


def cleanfid(*, images: int = 64) -> Measured:
    """Arm: clean-fid; seconds an image, from 32 px PNG files to features."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        features = features_work(
            "clean-fid", seeded_inception(), folder, _files(folder, images), "fp32"
        )

        features()
        begun = time.perf_counter()
        found = features()
        seconds = (time.perf_counter() - begun) / images
    return {"seconds": seconds, "precision": "fp32", "distance": _of_halves(found)}


def genkit(*, images: int = 64, precision: Precision = "fp32") -> Measured:
    """Arm: genkit's extractor, the same files."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        features = features_work(
            "genkit", seeded_inception(), folder, _files(folder, images), precision
        )

        features()
        begun = time.perf_counter()
        found = features()
        seconds = (time.perf_counter() - begun) / images
    return {"seconds": seconds, "precision": precision, "distance": _of_halves(found.numpy())}


def _of_halves(features: Any) -> float:
    """The Fréchet distance of both halves: what tells whether two arms found the same."""
    halves = np.array_split(features, 2)
    a, b = (Gaussian.of(torch.from_numpy(half)) for half in halves)
    return frechet_distance(a, b)


# -- distances -------------------------------------------------------------------------------------


def _gaussians(count: int, features: int) -> tuple[Gaussian, Gaussian]:
    """Two sets of features as a network gives them: correlated, none negative."""
    found = []
    for purpose in ("a", "b"):
        draw = generator(0, f"features/{purpose}")
        few = torch.randn(count, 256, generator=draw) + (0.1 if purpose == "b" else 0)
        mix = torch.randn(256, features, generator=generator(0, "mix")) / 16
        noise = torch.randn(count, features, generator=draw) / 4
        found.append(Gaussian.of((few @ mix + noise).relu()))
    return found[0], found[1]


def scipy(*, count: int = 10_000, features: int = 2048) -> Measured:
    """Arm: the distance by scipy's matrix square root, as clean-fid and pytorch-fid take it."""
    from cleanfid.fid import frechet_distance as theirs

    a, b = _gaussians(count, features)
    arrays = [x.numpy() for g in (a, b) for x in (g.mean, g.covariance)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        begun = time.perf_counter()
        found = float(theirs(arrays[0], arrays[1], arrays[2], arrays[3]))
        seconds = time.perf_counter() - begun
        itself = float(theirs(arrays[0], arrays[1], arrays[0], arrays[1]))
    return _judged(seconds, found, itself, a)


def distance(*, count: int = 10_000, features: int = 2048) -> Measured:
    """Arm: genkit's distance of the same moments."""
    a, b = _gaussians(count, features)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        found = frechet_distance(a, b)
        times.append(time.perf_counter() - begun)
    return _judged(sorted(times)[1], found, frechet_distance(a, a), a)


def _judged(seconds: float, found: float, itself: float, a: Gaussian) -> Measured:
    """With how far a set is from itself, which should be 0, as a share of twice its variance."""
    off = abs(itself) / (2 * a.covariance.trace().item())
    return {"seconds": seconds, "precision": "fp64", "distance": found, "of_itself": off}
