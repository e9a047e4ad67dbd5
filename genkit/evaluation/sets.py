"""Sets of images to be measured: from files, from tensors, or from a model that draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from genkit.errors import EvaluationError


class ImageSet:
    """Images in a fixed order, with or without labels; read when asked for, never all at once.

    Attributes:
        name: What reports call it.
        labels: (N,) int64, or None.
        class_names: A word for each class, or None where they are not known.
        captions: A text for each image, or None.
    """

    captions: tuple[str, ...] | None = None

    def __init__(
        self,
        name: str,
        images: Sequence[Tensor] | Tensor,
        labels: Tensor | None = None,
        fingerprint: str | Callable[[], str] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if labels is not None and len(labels) != len(images):
            raise EvaluationError(f"{name}: {len(labels)} labels for {len(images)} images")
        self.name = name
        self.labels = None if labels is None else labels.to(torch.int64)
        self.class_names = None if class_names is None else tuple(class_names)
        self._images = images
        self._known = fingerprint

    @classmethod
    def from_arrays(
        cls,
        name: str,
        fingerprint: str | None,
        images: Tensor,
        labels: Tensor | None = None,
        class_names: Sequence[str] | None = None,
    ) -> ImageSet:
        """A set over images (N, C, H, W) uint8, C 1 or 3, and labels (N,).

        `fingerprint` names the content; None has it computed from the pixels.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise EvaluationError(
                f"{name}: images are {images.dtype} {tuple(images.shape)}, "
                "expected uint8 (N, C, H, W) with C = 1 or 3"
            )
        return cls(name, images, labels, fingerprint, class_names)

    @classmethod
    def from_path(cls, path: Path | str) -> ImageSet:
        """A folder, an .npz, .zip or .tar file, or several .tar files as folder/name-*.tar.

        Labels come from metadata.jsonl or class sub-folders of a folder, `labels` of an .npz, .cls
        members of a .tar, and dataset.json of a .zip, as StyleGAN and EDM write it.
        """
        from genkit.evaluation.stored_sets import open_path

        return open_path(Path(path))

    @classmethod
    def from_dataset(
        cls, name: str, dataset: Any, *, image: str = "image", label: str | None = None
    ) -> ImageSet:
        """Rows of a Hugging Face data set, or of anything else with a length whose rows are dicts.

        Args:
            name: What reports call it.
            dataset: Read row by row, when an image is asked for.
            image: The column of pictures: PIL, or files' bytes.
            label: The column of classes, or None; read once, from all rows.
        """
        from genkit.evaluation.stored_sets import open_rows

        return open_rows(name, dataset, image, label)

    @classmethod
    def drawn(
        cls,
        name: str,
        draw: Callable[[Sequence[int]], Tensor],
        count: int,
        labels: Tensor | None = None,
        fingerprint: str | None = None,
    ) -> ImageSet:
        """Images that a model makes when they are asked for, never written to files.

        Args:
            name: What reports call it.
            draw: Positions in [0, count) to images (B, C, H, W) uint8; the same for the same ones.
            count: How many images the set has.
            labels: (count,) classes that are asked for, or None.
            fingerprint: Names model and seed; None has it computed from the pixels, all drawn.
        """
        return cls(name, _Drawn(draw, range(count)), labels, fingerprint)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        """One image, (C, H, W) uint8."""
        return self._images[index]

    @property
    def is_drawn(self) -> bool:
        """Whether a model makes the images, several of them at a time."""
        return isinstance(self._images, _Drawn)

    def read(self, places: Sequence[int]) -> list[Tensor]:
        """The images at these positions, each (C, H, W) uint8."""
        if isinstance(self._images, _Drawn):
            return list(self._images.draw([self._images.keys[place] for place in places]))
        return [self._images[place] for place in places]

    @cached_property
    def shape(self) -> torch.Size:
        """(C, H, W) of the first image; others may differ."""
        if not len(self):
            raise EvaluationError(f"{self.name}: no images in this set")
        return self[0].shape

    @property
    def has_labels(self) -> bool:
        """Whether every image has its class."""
        return self.labels is not None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all pixels, shapes and labels, or the one that the set was given."""
        if self._known is not None:
            return self._known if isinstance(self._known, str) else self._known()
        digest = hashlib.sha256()
        for i in range(len(self)):
            image = self[i]
            digest.update(str(tuple(image.shape)).encode())
            digest.update(image.contiguous().numpy().tobytes())
        if self.labels is not None:
            digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """In order, (B, C, H, W) uint8 with labels (B,); B <= size, as shapes in a batch agree."""
        for start in range(0, len(self), size):
            block = self.read(range(start, min(start + size, len(self))))
            for _, alike in groupby(block, lambda image: image.shape):
                images = list(alike)
                stop = start + len(images)
                yield torch.stack(images), None if self.labels is None else self.labels[start:stop]
                start = stop

    def pick(self, indices: Tensor) -> ImageSet:
        """The images at (n,) indices as a set of its own."""

        def fingerprint() -> str:
            return hashlib.sha256(self.fingerprint.encode() + indices.numpy().tobytes()).hexdigest()

        labels = None if self.labels is None else self.labels[indices]
        images = _Picked(self._images, indices.tolist())
        name = f"{self.name} ({len(indices)})"
        picked = ImageSet(name, images, labels, fingerprint, self.class_names)
        if self.captions is not None:
            picked.captions = tuple(self.captions[i] for i in indices.tolist())
        return picked


class Reader(Sequence[Tensor]):
    """Images that are made one at a time by `read`."""

    def __init__(self, keys: Sequence[Any]) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self.read(key) for key in self.keys[index]]
        return self.read(self.keys[index])

    def read(self, key: Any) -> Tensor:
        """The image (C, H, W) uint8 of one of the keys."""
        raise NotImplementedError


class _Drawn(Reader):
    def __init__(self, draw: Callable[[Sequence[int]], Tensor], keys: Sequence[int]) -> None:
        super().__init__(keys)
        self.draw = draw

    def read(self, key: int) -> Tensor:
        return self.draw([key])[0]


class _Picked(Reader):
    def __init__(self, images: Sequence[Tensor] | Tensor, keys: Sequence[int]) -> None:
        super().__init__(keys)
        self.images = images

    def read(self, key: int) -> Tensor:
        return self.images[key]
