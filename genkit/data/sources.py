"""Sources: finite, indexed sets of images that already have the configured size and channels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from genkit.errors import DataError


class Source(ABC):
    """A finite set of (C, S, S) uint8 images, reached by index.

    Attributes:
        name: Kind, set and split, e.g. "mnist:test".
        channels: C, 1 or 3.
        image_size: S in px.
        labels: (N,) int64 in [0, num_classes), or None.
        num_classes: K, or None without labels.
        class_names: K words, or None when the data set has none.
        skipped: Names of the broken files that were left out (data.on_error=skip).
    """

    def __init__(
        self,
        name: str,
        *,
        channels: int,
        image_size: int,
        labels: Tensor | None = None,
        class_names: Sequence[str] | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.channels = channels
        self.image_size = image_size
        self.skipped = tuple(skipped)
        self.class_names = tuple(class_names) if class_names is not None else None
        self.labels, self.num_classes = check_labels(name, labels, self.class_names)

    @property
    def provides(self) -> frozenset[str]:
        """Keys of the batch contract that this source fills."""
        return frozenset({"image"} if self.labels is None else {"image", "label"})

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the content: it changes when a pixel or a label changes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """(C, S, S) uint8."""

    def images(self, indices: Tensor) -> Tensor:
        """(B, C, S, S) uint8, for (B,) int64 indices."""
        return torch.stack([self.image(i) for i in indices.tolist()])


class MemorySource(Source):
    """Images held as one uint8 tensor.

    Args:
        name: Kind, set and split, e.g. "mnist:test".
        pixels: (N, C, S, S) uint8.
        labels: (N,) int64, or None.
        class_names: K words; without them K is the largest label + 1.
        fingerprint: Identity of the content; computed from pixels and labels when left out.
        skipped: Broken files that were left out.
    """

    def __init__(
        self,
        name: str,
        pixels: Tensor,
        labels: Tensor | None = None,
        *,
        class_names: Sequence[str] | None = None,
        fingerprint: str | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3]:
            raise DataError(
                f"{name}: images are {tuple(pixels.shape)} {pixels.dtype}; "
                "expected square (N, C, S, S) uint8"
            )
        if len(pixels) == 0:
            raise DataError(f"{name}: no images")
        if labels is not None and len(labels) != len(pixels):
            raise DataError(f"{name}: {len(pixels)} images but {len(labels)} labels")
        super().__init__(
            name,
            channels=pixels.shape[1],
            image_size=pixels.shape[2],
            labels=labels,
            class_names=class_names,
            skipped=skipped,
        )
        self.pixels = pixels.contiguous()
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: it changes when a pixel or a label changes."""
        if self._fingerprint is None:
            self._fingerprint = hash_tensors(self.pixels, self.labels)
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, index: int) -> Tensor:
        """(C, S, S) uint8."""
        return self.pixels[index]

    def images(self, indices: Tensor) -> Tensor:
        """(B, C, S, S) uint8, gathered in one operation."""
        return self.pixels.index_select(0, indices)


def hash_tensors(*tensors: Tensor | None) -> str:
    """SHA-256 hex of shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def check_labels(
    name: str, labels: Tensor | None, class_names: Sequence[str] | None
) -> tuple[Tensor | None, int | None]:
    """Labels as int64 with the number of classes K, or a `DataError` if one is outside [0, K)."""
    if labels is None:
        return None, None
    labels = labels.to(torch.int64)
    num_classes = len(class_names) if class_names is not None else int(labels.max()) + 1
    wrong = ((labels < 0) | (labels >= num_classes)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{name}: image {first} has label {int(labels[first])}, outside 0..{num_classes - 1} "
            f"({len(wrong)} such labels); number the classes from 0"
        )
    return labels, num_classes


def check_needs(source: Source, needs: frozenset[str], family: str) -> None:
    """Raise a `DataError` when the source lacks what the family's step reads."""
    missing = sorted(needs - source.provides)
    if not missing:
        return
    advice = (
        "sort the images into one sub-folder per class, or name the class column of metadata.jsonl "
        "in data.label"
        if missing == ["label"]
        else "choose another data.kind"
    )
    raise DataError(
        f"{source.name}: family {family!r} needs {', '.join(missing)}, but this data set gives "
        f"only {', '.join(sorted(source.provides))}; {advice}"
    )
