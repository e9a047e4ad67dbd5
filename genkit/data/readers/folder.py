"""A folder of images: plain, one sub-folder per class, or listed in `metadata.jsonl`.

`train/` and `test/` below the root, with nothing beside them, are its two parts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from genkit.config import MayChange
from genkit.config.data import InBuckets
from genkit.data.attribute_lists import Names, Rules, flags_column, flags_of, no_metadata
from genkit.data.memory import arranged, of_listing
from genkit.errors import shown
from genkit.rows.base import Rows
from genkit.rows.columns import Column, Raw
from genkit.rows.combine import fitted, picked
from genkit.rows.files import list_path, open_path
from genkit.rows.folders import LABEL, has_pictures, list_folder
from genkit.rows.listing import Listed, take_turns


class FolderData(InBuckets):
    """A folder of images: plain, one sub-folder per class, or with `metadata.jsonl`."""

    kind: Literal["folder"] = "folder"
    root: MayChange[Path]  # a folder, or a .zip or .npz file
    label: MayChange[str | None] = LABEL  # metadata.jsonl: column of classes; null = no such file
    attributes: Names | None = None  # metadata.jsonl: columns of yes and no; null = none
    excludes: Rules | None = None  # [[name, [what it switches off]], ...]; null = what is known

    @model_validator(mode="after")
    def _attributes_are_read(self) -> FolderData:
        if self.attributes is not None and self.label is None:
            raise ValueError(
                "attributes are columns of metadata.jsonl, which label=null leaves alone; leave "
                "label out"
            )
        if self.excludes is not None and self.attributes is None:
            raise ValueError("excludes says nothing without attributes; leave it out")
        return self

    @model_validator(mode="after")
    def _buckets_are_of_files(self) -> FolderData:
        if self.buckets is not None and self.root.suffix == ".npz":
            raise ValueError(
                "buckets say nothing to an .npz, whose pictures are of one size; leave them out"
            )
        return self

    def open(self, split: str) -> Rows:
        """The images below `root`, or below its sub-folder of that split; classes take turns."""
        name = f"folder:{self.root.resolve().name}:{split}"
        if self.root.suffix == ".npz":
            return self._array(name, split)
        pictures = os.path.isdir(self.root) and has_pictures(self.root)
        find = list_folder(self.root, self.label) if pictures else list_path(self.root, split)
        listed = take_turns(find.part(split, str(self.root)))
        left_out = find.without(split, str(self.root))
        return of_listing(name, find, listed, self, split, left_out, self._flags(listed))

    def _flags(self, listed: Sequence[Listed]) -> Mapping[str, tuple[Column, Raw]]:
        """The column `attributes` with its values, where it is asked for."""
        if self.attributes is None:
            return {}
        where = shown(self.root)
        column = flags_column(self.attributes, self.attributes, self.excludes, where)
        return {"attributes": (column, flags_of(listed, self.attributes, where))}

    def _array(self, name: str, split: str) -> Rows:
        if self.attributes is not None:
            raise no_metadata(shown(self.root))
        rows = open_path(self.root, split)
        if split == "train" and self.limit is not None:
            rows = picked(rows, range(min(self.limit, len(rows))), rows.name)
        rows = fitted(rows, self.size, self.channels, self.fit)
        rows.name = name
        return arranged(rows, self)


READER = FolderData
