"""CIFAR-10 (Krizhevsky 2009) from its published binary version, or from shards.

The better-known python version is made of pickles, which can run any code when opened; genkit
reads the binary one, which holds the same pixels.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genkit.config import DataSection, MayChange
from genkit.data.fetch import Root, check_split, fetch, folder_given
from genkit.data.memory import of_listing
from genkit.data.resize import resized
from genkit.errors import DataError
from genkit.files import cache_folder
from genkit.rows.archives import list_tars
from genkit.rows.base import Rows, image_rows
from genkit.rows.listing import Listing
from genkit.rows.shard_names import is_shard

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_ARCHIVE = "cifar-10-binary.tar.gz"
_FOLDER = "cifar-10-batches-bin"
_ADDRESSES = (f"https://www.cs.toronto.edu/~kriz/{_ARCHIVE}",)
_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_FILES = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
_RECORD = 1 + 3 * 32 * 32  # bytes: the class, then red, green and blue planes


class Cifar10Data(DataSection):
    """CIFAR-10: the published binary archive or its .bin files, or shards cifar10-train-*.tar."""

    kind: Literal["cifar10"] = "cifar10"
    root: MayChange[Root] = "user-cache"  # or a folder with the files, which may be read-only

    def open(self, split: str) -> Rows:
        """The 50,000 train or 10,000 test images, at `image_size`."""
        check_split("cifar10", split, _FILES)
        name = f"cifar10:{split}"
        given = folder_given(self.root)
        root = given or cache_folder() / "cifar10"
        if shards := sorted(p for p in root.glob(f"cifar10-{split}-*") if is_shard(p)):
            found = list_tars(shards)
            listing = Listing("shards", {split: found.listed}, CLASSES)
            return of_listing(name, listing, found.listed, self, split, found.left_out)
        parts = [_records(content, where) for where, content in _contents(given, root, split)]
        records = torch.cat(parts)[: self.limit if split == "train" else None]
        pixels = resized(records[:, 1:].reshape(-1, 3, 32, 32), self)
        return image_rows(name, pixels, records[:, 0], class_names=CLASSES)


READER = Cifar10Data


def _contents(given: Path | None, root: Path, split: str) -> list[tuple[str, bytes]]:
    """The bytes of each batch file, with the name that messages call it."""
    for folder in (root, root / _FOLDER):
        paths = [folder / name for name in _FILES[split]]
        if all(path.is_file() for path in paths):
            return [(str(path), _read(path)) for path in paths]
    archive = root / _ARCHIVE
    if not archive.is_file():
        if given is not None:
            raise _missing(root, split)
        fetch(_ADDRESSES, archive, _SHA256)
    return _from_archive(archive, split)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error})") from None


def _missing(root: Path, split: str) -> DataError:
    pickles = (root / "cifar-10-batches-py").exists() or list(root.glob("cifar-10-python*"))
    hint = " (the python version there is made of pickles, which genkit does not open)"
    return DataError(
        f"data.root={root}: no CIFAR-10 {split} part{hint if pickles else ''}; "
        f"expected {_ARCHIVE}, {_FOLDER}/{_FILES[split][0]} or cifar10-{split}-*.tar.gz; "
        "put one there, or leave data.root out to download it"
    )


def _from_archive(archive: Path, split: str) -> list[tuple[str, bytes]]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                file = tar.extractfile(member)
                name = Path(member.name).name
                if file is not None and name in _FILES[split]:
                    found[name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{archive}: not a whole archive ({error}); get it anew") from None
    if missing := [name for name in _FILES[split] if name not in found]:
        raise DataError(f"{archive}: {', '.join(missing)} not in it; get it anew")
    return [(f"{archive}!{name}", found[name]) for name in _FILES[split]]


def _records(content: bytes, name: str) -> Tensor:
    """(N, 3073) uint8: class and pixels of each image."""
    if not content or len(content) % _RECORD:
        raise DataError(
            f"{name}: {len(content):,} bytes, not a multiple of {_RECORD}; "
            "it is cut short or damaged, get it anew"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8).reshape(-1, _RECORD).copy())
