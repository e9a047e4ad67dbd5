"""Rows of a Hugging Face data set, or of anything else whose rows are dictionaries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from PIL.Image import Image as Picture
from torch import Tensor

from genkit.errors import DataError
from genkit.rows.base import Indices, Rows, class_column, hash_pictures, stacked
from genkit.rows.columns import Column, Image, Raw
from genkit.rows.pictures import decoded, native


def dataset_rows(
    name: str, dataset: Any, *, image: str = "image", label: str | None = None
) -> Rows:
    """Rows of a Hugging Face data set, or of anything else with a length whose rows are dicts.

    Args:
        name: What reports call it.
        dataset: Read row by row, when a picture is asked for.
        image: The column of pictures: PIL, or files' bytes.
        label: The column of classes, whole numbers, or None; read once, from all rows.

    Raises:
        DataError: A class is no whole number.
    """
    return _DatasetRows(name, dataset, image, None if label is None else _labels(dataset, label))


def _labels(dataset: Any, label: str) -> Tensor:
    whole = hasattr(dataset, "column_names")  # without decoding the pictures
    column = dataset[label] if whole else [row[label] for row in dataset]
    classes = [value.item() if hasattr(value, "item") else value for value in column]
    for value in classes:
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(f"column {label}: {value!r} is not an integer class")
    return torch.tensor(classes, dtype=torch.int64)


class _DatasetRows(Rows):
    def __init__(self, name: str, dataset: Any, image: str, labels: Tensor | None) -> None:
        columns: dict[str, Column] = {"image": Image()}
        if labels is not None:
            columns["label"] = class_column(name, labels, None)
        super().__init__(name, columns)
        self.dataset, self.column, self.classes = dataset, image, labels

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        wanted = self.check_columns(only)
        places = torch.as_tensor(indices, dtype=torch.int64)
        found: dict[str, Raw] = {}
        if "image" in wanted:
            found["image"] = stacked([self._picture(self.dataset[i]) for i in places.tolist()])
        if "label" in wanted and self.classes is not None:
            found["label"] = self.classes[places]
        return found

    def _picture(self, row: Mapping[str, Any]) -> Tensor:
        if self.column not in row:
            columns = ", ".join(map(str, row))
            raise DataError(f"{self.name}: no column {self.column!r}; there are: {columns}")
        picture = row[self.column]
        if isinstance(picture, Mapping):  # as files are kept undecoded
            picture = picture["bytes"]
        return native(picture) if isinstance(picture, Picture) else decoded(picture, self.name)

    @property
    def fingerprint(self) -> str:
        return hash_pictures(self)
