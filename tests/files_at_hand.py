"""Files that tests read again, closed at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def arrays_of(path: Path) -> dict[str, NDArray]:
    """What an .npz file holds, by name."""
    with np.load(path) as archive:
        return dict(archive)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size
