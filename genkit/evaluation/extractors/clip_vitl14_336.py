"""`clip-vitl14-336`: CLIP at 336 px, the space of CMMD.

Jayasumana et al. 2024 (arXiv:2401.09603).
"""

from __future__ import annotations

from pathlib import Path

import torch

from genkit.evaluation.extractor import Entry
from genkit.evaluation.extractors.clip_vitb32 import ClipExtractor, load_clip


def load(path: Path | None = None, *, device: torch.device | str = "cpu") -> ClipExtractor:
    """This network; see `load_clip`."""
    return load_clip("clip-vitl14-336", path, device=device)


EXTRACTOR = Entry(load, usual=("cmmd",))
