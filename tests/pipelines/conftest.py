from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from genkit.nn.generators import DCGANGenerator
from genkit.pipelines import NoiseToImage, save_export

PROVENANCE = {
    "family": "cgan",
    "steps": 12_000,
    "commit": "0123abc",
    "dirty": False,
    "packages": {"torch": "2.6.0"},
    "parameters": {"generator": 1_234_567},
    "data": {"name": "synthetic:glyphs:train", "count": 100, "fingerprint": "f00d"},
}


@pytest.fixture(scope="session")
def make() -> Callable[..., NoiseToImage]:
    """A pipeline with a tiny generator whose images are of full contrast and all different."""

    def build(classes: int | None = None, *, seed: int = 0, **options: object) -> NoiseToImage:
        network = DCGANGenerator(6, 1, 16, 4, num_classes=classes, embed_dim=4)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in network.parameters():
                weight.normal_(0, 0.5, generator=generator)
        return NoiseToImage(
            network, latent_dim=6, image_size=16, channels=1, num_classes=classes, **options
        )

    return build


@pytest.fixture
def exported(make: Callable[..., NoiseToImage], tmp_path: Path) -> Path:
    """The export folder of a pipeline with three classes."""
    names = ["a", "b", "c"]
    config = "family: cgan\nmodel:\n  width: 4\n"
    pipeline = make(3, class_names=names)
    return save_export(
        pipeline, tmp_path / "run" / "export", provenance=PROVENANCE, config_yaml=config
    )


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file can grow beyond so many bytes, as on a disk that is full."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
