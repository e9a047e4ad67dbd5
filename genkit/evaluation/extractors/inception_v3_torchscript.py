"""`inception-v3-torchscript`: the network of FID from StyleGAN2-ADA's file, as clean-fid."""

from __future__ import annotations

from pathlib import Path

import torch

from genkit.evaluation.extractor import Entry
from genkit.evaluation.extractors.inception_v3 import InceptionExtractor, name_of
from genkit.evaluation.processes import fetched
from genkit.evaluation.resize import Resize
from genkit.nn.pretrained import inception


def load(
    path: Path | None = None, *, how: Resize = "clean", device: torch.device | str = "cpu"
) -> InceptionExtractor:
    """The extractor from `path`, else from the user's cache, else fetched there once.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or fetched(inception.TORCHSCRIPT, "inception-v3-torchscript")
    found = inception.load_torchscript(path, device=device)
    return InceptionExtractor(
        found.network, None, name=name_of(found), sha256=found.sha256, how=how, device=device
    )


EXTRACTOR = Entry(load, usual=("fd", "fd-infinity", "kid", "prdc"))
