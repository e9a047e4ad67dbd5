"""Rows: N things by index, with named columns. One idea beneath data, pipelines and evaluation.

Readers give rows, the loader makes batches of them, pipelines take and give them, evaluation and
sample files read and write them.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from genkit import random
from genkit.errors import DataError, shown
from genkit.rows.columns import Class, Column, Columns, Image, Raw, are_numbers
from genkit.rows.left_out import NONE, LeftOut

Indices = Sequence[int] | Tensor
Fingerprint = Callable[["Rows"], str]
_BLOCK = 64


class Rows(ABC):
    """N rows, each reached by its index in [0, N), all with the same columns.

    Attributes:
        name: What messages and reports call them, such as "mnist:test".
        columns: What each named part of a row holds.
        left_out: What was found beside them and is no row, and why.
        whole: The same rows before broken ones were left out, or before they were held in memory;
            None = these are they.
        broken: The names of those that were left out as broken.
        origin: The rows whose pictures these hold in memory, one for one; None = these are they.
    """

    left_out: LeftOut = NONE
    whole: Rows | None = None
    broken: tuple[str, ...] = ()
    origin: Rows | None = None

    def __init__(self, name: str, columns: Columns) -> None:
        self.name = shown(name)
        self.columns: dict[str, Column] = dict(columns)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column.

        Args:
            indices: B numbers in [0, N), in any order.
            only: Names of the columns to read; None = all. Columns that are not asked for cost
                nothing: labels decode no picture.

        Returns:
            Pictures as uint8, stacked (B, C, H, W) where they are of one size, else a list of B
            tensors (C, H, W); the others as their `Column` says.

        Raises:
            DataError: A row can't be read, or there is no such column.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the content: it changes when a pixel or a label changes."""

    @property
    def epoch_size(self) -> int:
        """How many indices one epoch has at most: N, unless rows are pairs that are drawn anew."""
        return len(self)

    def order(self, seed: int, epoch: int, global_batch: int) -> Tensor:
        """The indices of one epoch: (n,) int64, by default each row once.

        Args:
            seed: Of the run.
            epoch: From 0; all have as many indices.
            global_batch: Rows of one optimizer step over all processes; for rows that keep one
                shape within it.
        """
        return random.permutation(seed, epoch, len(self))

    def by_shape(self, indices: Indices) -> list[Tensor]:
        """These indices in groups whose rows have one shape, (n,) int64 each; by default one."""
        return [torch.as_tensor(indices, dtype=torch.int64)]

    def each_shape(self, change: Callable[[Rows], Rows]) -> Rows:
        """The same rows, changed by what takes rows of one shape; by default all are of one."""
        return change(self)

    def first(self, count: int) -> Tensor:
        """The indices of up to `count` rows that people are shown: (n,) int64, the first ones."""
        return torch.arange(min(count, len(self)))

    @cached_property
    def labels(self) -> Tensor | None:
        """The classes of all rows, (N,) int64, or None without a column `label`."""
        if "label" not in self.columns:
            return None
        found = self.read(range(len(self)), ("label",))["label"]
        return torch.as_tensor(found, dtype=torch.int64)

    @property
    def num_classes(self) -> int | None:
        """K of the column `label`, or None without one."""
        label = self.columns.get("label")
        return label.count if isinstance(label, Class) else None

    @cached_property
    def class_numbers(self) -> Tensor | None:
        """The classes of all rows (N,) int64 as their names say them: the number of a class whose
        name is one, where all names are whole numbers; else as `labels`.
        """
        names = self.class_names
        if self.labels is None or names is None or not are_numbers(names):
            return self.labels
        return torch.tensor([int(name) for name in names], dtype=torch.int64)[self.labels]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """K words of the column `label`, or None where there are none."""
        label = self.columns.get("label")
        return label.names if isinstance(label, Class) else None

    def check_columns(self, only: Collection[str] | None) -> list[str]:
        """The names of the columns to read, in their order.

        Raises:
            DataError: One of them is not there.
        """
        if only is None:
            return list(self.columns)
        found = [name for name in self.columns if name in only]
        if len(found) < len(set(only)):
            strange = min(set(only) - self.columns.keys())
            raise DataError(
                f"{self.name}: no column {strange!r}; there are: {', '.join(self.columns)}"
            )
        return found


class MemoryRows(Rows):
    """Rows whose values are all held in memory.

    Args:
        name: What messages and reports call them.
        columns: What each named part of a row holds.
        values: Of each column those of all N rows: a tensor (N, ...) or a list of N.
        fingerprint: Names the content, or says how to find it; None has it computed from the
            values.
        left_out: What was found beside them and is no row, and why.

    Raises:
        DataError: There are no rows, the columns differ in length, or a class is out of range.
    """

    def __init__(
        self,
        name: str,
        columns: Columns,
        values: Mapping[str, Raw],
        *,
        fingerprint: str | Fingerprint | None = None,
        left_out: LeftOut = NONE,
    ) -> None:
        super().__init__(name, columns)
        self.values = dict(values)
        self.left_out = left_out
        self._fingerprint = fingerprint
        if self.values.keys() != self.columns.keys():
            raise DataError(f"{name}: columns {sorted(columns)} but values of {sorted(values)}")
        lengths = {key: len(value) for key, value in self.values.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DataError(f"{name}: no rows, or columns of different length: {lengths}")
        self._count = next(iter(lengths.values()))
        for key, column in self.columns.items():
            if isinstance(column, Class):
                check_classes(f"{name}, column {key}", self.values[key], column)

    def __len__(self) -> int:
        return self._count

    def on(self, device: torch.device) -> MemoryRows:
        """The same rows with their tensors on a device."""
        values = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.values.items()}
        left, known = self.left_out, self._fingerprint
        return MemoryRows(self.name, self.columns, values, fingerprint=known, left_out=left)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column; tensors are gathered in one operation each."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return {name: taken(self.values[name], chosen) for name in self.check_columns(only)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: it changes when a pixel or a label changes."""
        if self._fingerprint is None:
            self._fingerprint = hash_values(*self.values.values())
        elif not isinstance(self._fingerprint, str):
            self._fingerprint = self._fingerprint(self)
        return self._fingerprint


def image_rows(
    name: str,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    class_names: Sequence[str] | None = None,
    fingerprint: str | Fingerprint | None = None,
    left_out: LeftOut = NONE,
) -> MemoryRows:
    """Rows of pictures and perhaps classes that are held in memory.

    Args:
        name: What messages and reports call them.
        images: (N, C, H, W) uint8, C 1 or 3.
        labels: (N,) integers in [0, K), or None.
        class_names: K words; without them K is the largest label + 1.
        fingerprint: Names the content, or says how to find it, such as `hash_pictures`; None has
            it computed from pixels and labels.
        left_out: What was found beside them and is no row, and why.

    Raises:
        DataError: The images or labels are not as said here.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{name}: images are {images.dtype} {tuple(images.shape)}, "
            "expected uint8 (N, C, H, W) with C = 1 or 3"
        )
    channels, height, width = images.shape[1:]
    if not height or not width:
        raise DataError(f"{name}: images are {height} x {width} px, so there is nothing in them")
    columns: dict[str, Column] = {"image": Image((height, width), channels)}
    values: dict[str, Raw] = {"image": images.contiguous()}
    if labels is not None:
        columns["label"] = class_column(name, labels, class_names)
        values["label"] = labels.to(torch.int64)
    return MemoryRows(name, columns, values, fingerprint=fingerprint, left_out=left_out)


def class_column(name: str, labels: Tensor, class_names: Sequence[str] | None) -> Class:
    """The column of these labels (N,); without names K is the largest label + 1.

    Raises:
        DataError: A label is outside [0, K).
    """
    names = None if class_names is None else tuple(class_names)
    count = int(labels.max()) + 1 if names is None else len(names)
    column = Class(count, names)
    check_classes(name, labels, column)
    return column


def check_classes(name: str, labels: Raw, column: Class) -> None:
    """Raise a `DataError` if a label (N,) is outside [0, K)."""
    labels = torch.as_tensor(labels)
    wrong = ((labels < 0) | (labels >= column.count)).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{name}: image {first} has label {int(labels[first])}, outside 0..{column.count - 1} "
            f"({len(wrong)} such labels); number the classes from 0"
        )


def hash_values(*values: Raw | None) -> str:
    """SHA-256 hex of shapes and bytes of tensors, and of the text of what is no tensor."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            digest.update(f"{tuple(value.shape)} {value.dtype};".encode())
            digest.update(value.cpu().contiguous().numpy().data)
        elif value is not None:
            for entry in value:
                digest.update(hash_values(entry).encode() if isinstance(entry, Tensor) else b"")
                digest.update(b"" if isinstance(entry, Tensor) else f"{entry!r};".encode())
    return digest.hexdigest()


def hash_pictures(rows: Rows) -> str:
    """SHA-256 hex of the pixels and shapes of the column `image`, and of the labels if any.

    It is the same whether the pictures come from a folder, an archive or an array.
    """
    digest = hashlib.sha256()
    for start in range(0, len(rows), _BLOCK):
        block = range(start, min(start + _BLOCK, len(rows)))
        for image in rows.read(block, ("image",))["image"]:
            digest.update(str(tuple(image.shape)).encode())
            digest.update(image.cpu().contiguous().numpy().tobytes())
    if rows.class_numbers is not None:
        digest.update(rows.class_numbers.numpy().tobytes())
    return digest.hexdigest()


def stacked(values: Sequence[Any]) -> Raw:
    """Tensors of one shape as one (B, ...), anything else as a list."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    alike = len(tensors) == len(values) and len({t.shape for t in tensors}) == 1
    return torch.stack(tensors) if alike else list(values)


def taken(values: Raw, chosen: Tensor) -> Raw:
    """The values at these places (B,), stacked where they are tensors of one shape."""
    if isinstance(values, Tensor):
        return values.index_select(0, onto(values.device, chosen))
    return stacked([values[i] for i in chosen.tolist()])


def onto(device: torch.device, value: Tensor) -> Tensor:
    """A tensor on a device, without waiting for what the device still has to do.

    From memory that is not pinned CUDA copies only once all work before is done, and a training
    that waits for it in each step leaves the GPU idle between them.
    """
    if device.type == "cuda" and value.is_cpu:
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)
