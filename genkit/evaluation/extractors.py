"""Extractors: what turns images into the features that metrics compare.

An extractor is known by its name and the SHA-256 of its weights. Values of different extractors, or
of different weights under one name, are different quantities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.digits import load_digits
from genkit.evaluation.inception import load_inception

NAMES = ("digits", "inception")


class Extractor(Protocol):
    """Images to features, with all that a reader must know to compare two values."""

    @property
    def name(self) -> str:
        """Short, part of the metric's name: "digits"."""

    @property
    def sha256(self) -> str:
        """Hex digest of the weights file."""

    @property
    def layer(self) -> str:
        """Which layer the features are read from."""

    @property
    def resize(self) -> str:
        """How an image becomes the network's input."""

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8, C 1 or 3 -> (B, D) float32 on the CPU."""


def load_extractor(
    name: str, path: Path | None = None, *, device: torch.device | str = "cpu"
) -> Extractor:
    """The extractor of that name; `path` is a file of weights for "inception"."""
    if name == "digits":
        extractor = load_digits()
        extractor.network.to(device)
        return extractor
    if name == "inception":
        return load_inception(path, device=device)
    raise EvaluationError(f"extractor {name!r}: no such extractor; there are: {', '.join(NAMES)}")


def frechet_name(extractor: Extractor) -> str:
    """What the Fréchet distance on these features is called: "fid" or "fd-<extractor>".

    *FID* is the distance on the Inception weights of the original paper; `load_inception` gives the
    plain name "inception" to that one file only.
    """
    return "fid" if extractor.name == "inception" else f"fd-{extractor.name}"
