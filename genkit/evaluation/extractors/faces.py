"""`faces`: the classifier of drawn faces' attributes that ships with genkit; needs no download."""

from __future__ import annotations

from pathlib import Path

import torch

from genkit.evaluation.classifiers import ClassifierExtractor
from genkit.evaluation.extractor import Entry
from genkit.nn.pretrained import faces


def load_faces(
    path: Path | None = None,
    *,
    sha256: str = faces.WEIGHTS_SHA256,
    device: torch.device | str = "cpu",
) -> ClassifierExtractor:
    """The classifier with the shipped weights, or a `WeightsError` if the file is another one."""
    return ClassifierExtractor(faces.load(path, sha256=sha256), "faces", sha256, device)


EXTRACTOR = Entry(load_faces)
