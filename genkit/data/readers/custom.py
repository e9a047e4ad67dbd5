"""One's own torch `Dataset` as rows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from genkit.config import DataSection
from genkit.data.memory import fits_memory
from genkit.errors import DataError
from genkit.images import to_array, to_pil
from genkit.rows.base import Indices, MemoryRows, Rows, class_column
from genkit.rows.columns import Column, Raw
from genkit.rows.columns import Image as ImageColumn
from genkit.rows.left_out import BROKEN, LeftOut

_READ_TWICE = 32  # items: a mirror that is tossed for each is missed once in 2^32

log = logging.getLogger("genkit")


class CustomData(DataSection):
    """One's own torch `Dataset`, handed over in Python: `genkit.train(config, dataset=...)`."""

    kind: Literal["custom"] = "custom"

    def open(self, split: str) -> Rows:
        """Raise a `DataError`: no settings name what is handed over in Python."""
        raise DataError(
            "data.kind=custom: no data set was handed over; call genkit.train(config, dataset=...) "
            "from Python, or choose another data.kind"
        )

    def open_dataset(self, dataset: Dataset[Any], split: str) -> Rows:
        """The items of a data set as images and labels, each looked at once before the first step.

        Items that differ each time they are read are not held in memory, unless data.memory=always.

        An item is an image, an (image, label) pair, or a mapping with "image" and perhaps "label".
        An image is a PIL picture, or a tensor of (C, H, W) or (H, W), uint8 or float in [0, 1].

        Raises:
            DataError: It can't be indexed, or an item is no image.
        """
        name = f"custom:{type(dataset).__name__}:{split}"
        count = _length(dataset, name)
        if split == "train" and self.limit is not None:
            count = min(count, self.limit)
        log.info("%s: reading %s items once", name, f"{count:,}")
        return _scan(name, dataset, self, count)


READER = CustomData


class CustomRows(Rows):
    """Items of a torch `Dataset`, converted each time they are asked for.

    Args:
        name: What messages call them.
        dataset: Where the items are.
        data: How they are converted.
        kept: Which of its items are rows, in order.
        labels: (N,) int64, or None.
        fingerprint: SHA-256 of pixels and labels, taken when the set was opened.
        left_out: Items that can't be read.
    """

    def __init__(
        self,
        name: str,
        dataset: Dataset[Any],
        data: CustomData,
        kept: Sequence[int],
        labels: Tensor | None,
        *,
        fingerprint: str,
        left_out: LeftOut,
    ) -> None:
        super().__init__(name, _columns(name, dataset, data, labels))
        self.dataset, self.data, self.kept = dataset, data, kept
        self.numbers, self.left_out = labels, left_out
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels and labels, taken when the set was opened."""
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.kept)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column; pictures from the items as they are now."""
        wanted = self.check_columns(only)
        places = torch.as_tensor(indices, dtype=torch.int64)
        found: dict[str, Raw] = {}
        if "image" in wanted:
            items = [read_item(self.dataset, self.kept[i], self.data) for i in places.tolist()]
            found["image"] = torch.stack([image for image, _ in items])
        if "label" in wanted and self.numbers is not None:
            found["label"] = self.numbers[places]
        return found


def _columns(
    name: str, dataset: Dataset[Any], data: CustomData, labels: Tensor | None
) -> dict[str, Column]:
    columns: dict[str, Column] = {"image": ImageColumn(data.size, data.channels)}
    if labels is not None:
        columns["label"] = class_column(name, labels, class_names(dataset))
    return columns


def _scan(name: str, dataset: Dataset[Any], data: CustomData, count: int) -> Rows:
    images: list[Tensor] = []
    labels: list[int | None] = []
    kept: list[int] = []
    skipped: list[str] = []
    digest = hashlib.sha256()
    anew = _is_drawn_anew(dataset, count, data)
    in_memory = data.memory == "always" if anew else fits_memory(data, count)
    if anew:
        log.warning(
            "%s: items differ each time they are read, as random augmentation makes them: %s; what "
            "names the data are labels and length",
            *(name, "held as first drawn (data.memory=always)" if in_memory else "drawn anew"),
        )
        digest.update(b"drawn anew;")
    for i in range(count):
        try:
            image, label = read_item(dataset, i, data)
        except DataError as error:
            if data.on_error == "raise":
                raise
            log.warning("left out: %s", error)
            skipped.append(f"item {i}")
            continue
        digest.update(b"" if anew else image.numpy().data)
        digest.update(f"{label};".encode())
        kept.append(i)
        labels.append(label)
        if in_memory:
            images.append(image)
    if not kept:
        raise DataError(f"{name}: none of {count} items can be read")
    classes = _joined(labels, name)
    fingerprint, left_out = digest.hexdigest(), LeftOut.of(BROKEN, skipped)
    if not in_memory:
        return CustomRows(
            name, dataset, data, kept, classes, fingerprint=fingerprint, left_out=left_out
        )
    values: dict[str, Raw] = {"image": torch.stack(images)}
    if classes is not None:
        values["label"] = classes
    columns = _columns(name, dataset, data, classes)
    return MemoryRows(name, columns, values, fingerprint=fingerprint, left_out=left_out)


def _is_drawn_anew(dataset: Dataset[Any], count: int, data: CustomData) -> bool:
    """Whether items change from one reading to the next; some are read twice to see it."""
    for i in range(0, count, max(1, count // _READ_TWICE)):
        try:
            first, again = (read_item(dataset, i, data)[0] for _ in range(2))
        except DataError:
            continue  # it is met again when all are read
        if not torch.equal(first, again):
            return True
    return False


def _length(dataset: Dataset[Any], name: str) -> int:
    length = getattr(type(dataset), "__len__", None)
    if length is None or isinstance(dataset, IterableDataset):
        raise DataError(f"{name}: it can't be indexed; hand over a map-style data set")
    count = int(length(dataset))
    if count == 0:
        raise DataError(f"{name}: it is empty")
    return count


def class_names(dataset: Dataset[Any]) -> tuple[str, ...] | None:
    """Its attribute `classes`, which torchvision's data sets have, or None."""
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else None


def read_item(dataset: Dataset[Any], index: int, data: CustomData) -> tuple[Tensor, int | None]:
    """One item as a (C, H, W) uint8 image and its label, if it has one.

    Raises:
        DataError: The item can't be read, or it is no image; its index is named.
    """
    where = f"custom:{type(dataset).__name__}, item {index}"
    try:
        item = dataset[index]
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{where}: can't be read ({error})") from error
    image, label = _parts(item, where)
    picture = image if isinstance(image, Image.Image) else to_pil(_as_uint8(image, where))
    return to_array(picture, data.size, data.channels, data.fit), label


def _parts(item: object, where: str) -> tuple[object, int | None]:
    if isinstance(item, Mapping):
        image, label = item.get("image"), item.get("label")
    elif isinstance(item, tuple | list) and len(item) == 2:
        image, label = item
    else:
        image, label = item, None
    if isinstance(label, Tensor) and label.numel() == 1:
        label = label.item()
    if label is None:
        return image, None
    try:
        number = int(label)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != label:
        raise DataError(f"{where}: label {label!r}; expected a whole number from 0")
    return image, number


def _as_uint8(image: object, where: str) -> Tensor:
    """(C, H, W) uint8 with C 1 or 3, from a tensor."""
    if not isinstance(image, Tensor):
        raise DataError(
            f"{where}: {type(image).__name__}; expected a PIL picture or a tensor, alone, in a "
            '(image, label) pair or under "image"'
        )
    image = image[None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.numel() == 0:
        raise DataError(
            f"{where}: a tensor of {tuple(image.shape)}; "
            "expected (C, H, W) with C 1 or 3, or (H, W)"
        )
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point() or not bool(((image >= 0) & (image <= 1)).all()):
        raise DataError(
            f"{where}: {image.dtype} from {image.min().item():g} to {image.max().item():g}; "
            "expected uint8, or float in [0, 1]"
        )
    return image.mul(255).round().to(torch.uint8)


def _joined(labels: Sequence[int | None], name: str) -> Tensor | None:
    given = [label for label in labels if label is not None]
    if given and len(given) < len(labels):
        raise DataError(f"{name}: {len(labels) - len(given)} of {len(labels)} items have no label")
    return torch.tensor(given) if given else None
