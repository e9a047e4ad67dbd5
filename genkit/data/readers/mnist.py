"""MNIST from the four IDX files, gzipped or not (LeCun, Cortes & Burges)."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genkit.config import DataSection, MayChange
from genkit.data.fetch import Root, check_split, fetch, folder_given
from genkit.data.resize import resized
from genkit.errors import DataError
from genkit.files import cache_folder
from genkit.rows.base import MemoryRows, image_rows

_ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_PART = {"train": "train", "test": "t10k"}
_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_IMAGES, _LABELS = 3, 1  # dimensions of the two kinds of file
_LARGEST = 1 << 31  # bytes of a file; MNIST's largest has 47,040,016


class MnistData(DataSection):
    """The four IDX files, gzipped or not, from `root` or downloaded once to the user's cache."""

    kind: Literal["mnist"] = "mnist"
    root: MayChange[Root] = "user-cache"  # or a folder with the files, which may be read-only
    channels: Literal[1, 3] = 1

    def open(self, split: str) -> MemoryRows:
        """The 60,000 train or 10,000 test digits, at `image_size`."""
        part = _PART[check_split("mnist", split, _PART)]
        root = folder_given(self.root)
        images = read_idx(_find(root, f"{part}-images-idx3-ubyte"), _IMAGES)
        labels = read_idx(_find(root, f"{part}-labels-idx1-ubyte"), _LABELS)
        limit = self.limit if split == "train" else None
        pixels = resized(images[:limit, None], self)
        names = [str(digit) for digit in range(10)]
        return image_rows(f"mnist:{split}", pixels, labels[:limit], class_names=names)


READER = MnistData


def _find(root: Path | None, name: str) -> Path:
    """The file in `root`, or in the user's cache, downloaded there if need be."""
    cache = cache_folder() / "mnist"
    folders = [cache] if root is None else [root, root / "MNIST" / "raw"]
    for folder in folders:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    if root is not None:
        looked = " and ".join(str(folder) for folder in folders)
        raise DataError(
            f"data.root={root}: neither {name} nor {name}.gz in {looked}; "
            "put the four IDX files there, or leave data.root out to download them"
        )
    path = cache / f"{name}.gz"
    fetch([f"{address}{name}.gz" for address in _ADDRESSES], path, _SHA256[name])
    return path


def read_idx(path: Path, dimensions: int) -> Tensor:
    """An IDX file of unsigned bytes with so many dimensions, as a uint8 tensor of its shape.

    No more of it is unpacked than its head promises: a few packed megabytes may hold gigabytes.
    """
    try:
        with _opened(path) as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
                raise DataError(
                    f"{path}: not an IDX file of {dimensions}-dimensional bytes; get it anew"
                )
            shape = np.frombuffer(head, ">u4", dimensions, offset=4).astype(int).tolist()
            promised = math.prod(shape)
            if promised > _LARGEST:
                raise DataError(f"{path}: its head promises {promised:,} bytes; get it anew")
            content = file.read(promised)
            is_longer = bool(file.read(1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: can't be read ({error}); get it anew") from None
    if len(content) < promised or is_longer:
        found = "more" if is_longer else f"{len(content):,}"
        raise DataError(
            f"{path}: {found} bytes (unpacked), its head promises {promised:,}; "
            "it is cut short or damaged, get it anew"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8).reshape(shape).copy())


def _opened(path: Path) -> BufferedIOBase:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_packed else path.open("rb")
