"""Data sets as batches: `open_source` reads one, `Loader` makes its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch.utils.data import Dataset

from genkit.config import (
    Cifar10Data,
    CustomData,
    DataConfig,
    DataSection,
    FolderData,
    MnistData,
    ShardsData,
    StackedData,
    SyntheticData,
)
from genkit.data.loader import Loader, check_size
from genkit.data.sources import MemorySource, Source, check_needs
from genkit.errors import DataError
from genkit.rows.batch import Batch

__all__ = [
    "Batch",
    "Loader",
    "MemorySource",
    "Source",
    "check_needs",
    "check_size",
    "open_reference",
    "open_source",
]

Split = Literal["train", "test"]


def open_source(
    data: DataConfig, split: Split = "train", *, dataset: Dataset[Any] | None = None
) -> Source:
    """The data set that the config names, every image as configured.

    Args:
        data: The config's `data` section.
        split: Which part; `data.limit` shortens the train part only.
        dataset: One's own set of (image, label) pairs, when data.kind is "custom".
    """
    from genkit.data import cifar10, custom, folder, mnist, shards
    from genkit.data.synthetic import glyphs, stacked

    match data:
        case SyntheticData():
            return glyphs.open_glyphs(data, split)
        case StackedData():
            return stacked.open_stacked(data, split)
        case MnistData():
            return mnist.open_mnist(data, split)
        case Cifar10Data():
            return cifar10.open_cifar10(data, split)
        case FolderData():
            return folder.open_folder(data, split)
        case ShardsData():
            return shards.open_shards(data, split)
        case CustomData():
            return custom.open_custom(data, dataset, split)


def open_reference(
    name: str, *, root: Path | None = None, like: DataConfig | None = None
) -> Source:
    """A named set to measure against: "synthetic:glyphs:test", "mnist:train", "stacked:test".

    Args:
        name: Kind and split; "stacked:glyphs:test" and "stacked:mnist:test" say which digits.
        root: Where the files are; None = as `like` says, else the user's cache.
        like: The config of a run: its size and channels are used, and, for the same kind of data,
            its other settings too.
    """
    kind, _, split = name.removeprefix("synthetic:").rpartition(":")
    if kind not in _REFERENCES or split not in ("train", "test"):
        raise DataError(
            f"reference {name!r}: no such set; there are synthetic:glyphs, stacked, "
            "stacked:glyphs, stacked:mnist, mnist and cifar10, each with :train or :test"
        )
    data = _like(_REFERENCES[kind], like)
    if isinstance(data, StackedData) and kind != "stacked":
        data = data.model_copy(update={"digits": kind.removeprefix("stacked:")})
    if root is not None and "root" in type(data).model_fields:
        data = data.model_copy(update={"root": root})
    return open_source(data, split)  # type: ignore[arg-type]


_REFERENCES: dict[str, DataSection] = {
    "glyphs": SyntheticData(),
    "stacked": StackedData(kind="stacked"),
    "stacked:glyphs": StackedData(kind="stacked"),
    "stacked:mnist": StackedData(kind="stacked"),
    "mnist": MnistData(kind="mnist"),
    "cifar10": Cifar10Data(kind="cifar10"),
}


def _like(data: DataSection, like: DataSection | None) -> DataSection:
    if like is None:
        return data
    if type(like) is type(data):
        return like
    alike = {"image_size": like.image_size}
    if not isinstance(data, StackedData):  # three channels always
        alike["channels"] = like.channels
    return data.model_copy(update=alike)
