"""Data sets as batches: `open_data` reads one as rows, `Loader` makes its batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from genkit.config import DataSection, kinds, reader
from genkit.data.classes import check_numbers, say_classes
from genkit.data.loader import Loader, check_size
from genkit.data.memory import arranged, only_listed
from genkit.errors import ConfigError, DataError
from genkit.rows.base import Rows
from genkit.rows.batch import Batch

if TYPE_CHECKING:
    from torch.utils.data import Dataset

log = logging.getLogger("genkit")

# Where classes are written, by data.kind.
LABELS = {
    "folder": "sort the images into one sub-folder per class, or name the class column of "
    "metadata.jsonl in data.label (data.label=null: sub-folders, although metadata.jsonl is there)",
    "shards": "write the class of KEY.png into KEY.cls or as `label` into KEY.json beside it",
    "custom": "hand over (image, label) pairs",
}
# The same of attributes.
ATTRIBUTES = {
    "folder": "name the columns of metadata.jsonl that say yes or no in data.attributes, as in "
    "data.attributes=[Smiling,Eyeglasses]",
}
# The same of captions.
CAPTIONS = {
    "folder": "write metadata.jsonl beside the images, a line for each of them: "
    '{"file_name": "a.png", "caption": "..."}',
    "shards": "write the caption of KEY.png into KEY.txt or as `caption` into KEY.json beside it",
}
ANOTHER_KIND = "choose another data.kind"

__all__ = ["Batch", "Loader", "check_needs", "check_size", "open_data", "open_reference"]


def open_data(
    data: DataSection,
    split: str = "train",
    *,
    dataset: Dataset[Any] | None = None,
    check: Callable[[Rows], None] = lambda rows: None,
) -> Rows:
    """The data set that the config names, every picture as configured.

    Args:
        data: The config's `data` section.
        split: Which part; `data.limit` shortens the train part only.
        dataset: One's own set of (image, label) pairs, when data.kind is "custom".
        check: Raises where the rows won't do; called before any of their pictures is decoded.

    Raises:
        DataError: The files are missing or broken, or there is no such part.
    """
    from genkit.data.readers.custom import CustomData

    if dataset is None:
        with only_listed() as waiting:
            rows = data.open(split)
        check(rows)
        if waiting:  # where they are all of it, they need not be listed again
            rows = arranged(rows, data) if waiting == [rows] else data.open(split)
        return _told(rows, split)
    if not isinstance(data, CustomData):
        raise ConfigError(
            f"data.kind={data.kind}: a data set was handed over in Python as well; "
            "set data.kind=custom, or leave it out"
        )
    rows = data.open_dataset(dataset, split)
    check(rows)
    return _told(rows, split)


def _told(rows: Rows, split: str) -> Rows:
    """The rows, after what a user should know of them was said."""
    if split == "train":
        check_numbers(rows)
        say_classes(rows)
    if rows.left_out:
        log.warning("%s: %s", rows.name, rows.left_out.sentence(examples=True))
    return rows


def open_reference(name: str, *, root: Path | None = None, like: DataSection | None = None) -> Rows:
    """A named set to measure against: "glyphs:test", "mnist:train", "stacked:mnist:test".

    Args:
        name: Kind and split, and between them what the kind lets one name.
        root: Where the files are; None = as `like` says, else the user's cache.
        like: The config of a run: its size and channels are used, and, for the same kind of data,
            its other settings too.

    Raises:
        DataError: There is no such set.
    """
    kind, *words, split = name.removeprefix("synthetic:").split(":")
    try:
        section = reader(kind)
        asked = section.named(words) | ({} if root is None else {"root": root})
        known = {key: value for key, value in asked.items() if key in section.model_fields}
        data = section.model_validate(_settings_like(section, like) | known)
    except ValidationError:
        raise DataError(f"reference {name!r}: kind {kind!r} needs settings; {_advice()}") from None
    except ValueError as error:
        raise DataError(f"reference {name!r}: no such set; {error}; {_advice()}") from None
    return data.open(split)


def _advice() -> str:
    return f"name a path, or KIND:train or KIND:test with a kind of {', '.join(kinds())}"


def _settings_like(section: type[DataSection], like: DataSection | None) -> dict[str, Any]:
    if like is None:
        return {}
    if type(like) is section:
        return like.model_dump()
    shape: dict[str, Any] = {"image_size": like.image_size}
    if like.channels in get_args(section.model_fields["channels"].annotation):
        shape["channels"] = like.channels
    return shape


def check_needs(rows: Rows, needs: frozenset[str], family: str) -> None:
    """Raise a `DataError` when the rows lack a column that the family's step reads."""
    missing = sorted(needs - rows.columns.keys())
    if not missing:
        return
    kind = rows.name.partition(":")[0]
    known = {"label": LABELS, "attributes": ATTRIBUTES, "caption": CAPTIONS}.get(missing[0], {})
    advice = known.get(kind, ANOTHER_KIND) if len(missing) == 1 else ANOTHER_KIND
    raise DataError(
        f"{rows.name}: family {family!r} needs {', '.join(missing)}, but this data set gives "
        f"only {', '.join(sorted(rows.columns))}; {advice}"
    )
