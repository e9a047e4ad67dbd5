"""Pictures with attributes in the layout of CelebA (Liu et al. 2015, arXiv:1411.7766).

Below the root lie a folder of pictures, a list of attributes, a list of parts and, where the right
answers of edits are known, `counterfactuals.jsonl`. How these files look:
`genkit/data/attribute_lists.py` and `genkit/data/counterfactuals.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from genkit.config import DataSection, MayChange, NonNegative, Positive
from genkit.data.attribute_lists import (
    Attributes,
    Names,
    Rules,
    check_listed,
    flags_column,
    read_attributes,
    read_partition,
)
from genkit.data.counterfactuals import FILE, edit_rows, read_edits
from genkit.data.memory import arranged
from genkit.errors import DataError, shown
from genkit.rows.base import Rows
from genkit.rows.columns import Flags
from genkit.rows.entries import file_entry
from genkit.rows.folders import from_here
from genkit.rows.left_out import LeftOut
from genkit.rows.pictures import FileRows, Shape
from genkit.rows.tree import is_picture, no_pictures, walk

COUNTERFACTUAL = "counterfactual"
LIST, PARTS = "list_attr_celeba.txt", "list_eval_partition.txt"


class CelebaData(DataSection):
    """A set in CelebA's layout: batches hold `image` and `attributes`."""

    kind: Literal["celeba"] = "celeba"
    root: MayChange[Path]  # holds the folder of pictures and both lists
    folder: str = "img_align_celeba"  # of the pictures, below root
    list_file: str = LIST  # names of attributes, and -1 or 1 for each picture
    partition_file: str | None = PARTS  # 0 train, 1 val, 2 test; null = no parts
    attributes: Names | None = None  # which of those listed, in this order; null = all
    excludes: Rules | None = None  # [[name, [what it switches off]], ...]; null = what is known
    crop: tuple[NonNegative, NonNegative, Positive] | None = (
        None  # cut out: [top, left, side] in px
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that it opens."""
        parts = ("train",) if self.partition_file is None else ("train", "val", "test")
        return (*parts, COUNTERFACTUAL) if (self.root / FILE).is_file() else parts

    @property
    def held(self) -> tuple[str, ...]:
        """The parts that pictures are listed in."""
        if self.partition_file is None:
            return ("train",)
        part = {*read_partition(self.root / self.partition_file).values()}
        return tuple(name for name in ("train", "val", "test") if name in part)

    def open(self, split: str) -> Rows:
        """The pictures of one part in the order of the list; of "counterfactual" pictures before
        and after each edit.
        """
        return arranged(self._edits() if split == COUNTERFACTUAL else self.files(split), self)

    def files(self, split: str) -> FileRows:
        """The pictures of one part as they lie in their files, each read when it is asked for."""
        listed, chosen = self._attributes()
        places = self._places(listed.files, split)
        return self._rows(chosen, self._column(listed, chosen.names), places, split)

    def _attributes(self) -> tuple[Attributes, Attributes]:
        """All that are listed, and those that are chosen."""
        listed = read_attributes(self.root / self.list_file)
        return listed, listed.chosen(self.attributes, shown(self.root / self.list_file))

    def _places(self, files: Sequence[str], split: str) -> list[int]:
        """Which rows of the list are a part of the set; `limit` shortens the train part."""
        if self.partition_file is None:
            if split != "train":
                raise DataError(
                    f"{shown(self.root)}: data.partition_file=null, so all pictures train and "
                    f"there is no {split} part; name a list of parts in data.partition_file"
                )
            return list(range(len(files)))[: self.limit]
        path = self.root / self.partition_file
        part = read_partition(path)
        check_listed(files, part, shown(path))
        places = [i for i, file in enumerate(files) if part[file] == split]
        if not places:
            there = ", ".join(f"{name} ({n:,})" for name, n in Counter(part.values()).items())
            raise DataError(f"{shown(path)}: no pictures of the part {split!r}; there are: {there}")
        return places[: self.limit] if split == "train" else places

    def _rows(
        self, chosen: Attributes, column: Flags, places: Sequence[int], split: str
    ) -> FileRows:
        """The pictures at these places of the list, with their attributes."""
        wanted, (names, beside) = [chosen.files[i] for i in places], self._folder()
        known = _resolved(wanted, names)
        missing = [file for file in wanted if file not in known]
        if missing and (self.on_error == "raise" or not known):
            raise DataError(
                f"{shown(self.root / self.list_file)}: {len(missing):,} of {len(wanted):,} "
                f"pictures of the {split} part are not in {shown(self.root / self.folder)}, the "
                f"first is {shown(missing[0])}; put them there, or leave their rows out with "
                "data.on_error=skip"
            )
        kept = [i for i in places if chosen.files[i] in known]
        left_out = LeftOut.of(f"listed in {self.list_file}, but not there", missing)
        if split == "train":
            of_all = set(_resolved(chosen.files, names).values())
            more = [name for name in names if name not in of_all]
            left_out += LeftOut.of(f"not listed in {self.list_file}", more) + beside
        return FileRows(
            f"celeba:{self.root.resolve().name}:{split}",
            [file_entry(self.root / self.folder / known[chosen.files[i]]) for i in kept],
            {"attributes": column},
            {"attributes": chosen.values[torch.tensor(kept)]},
            shape=self._shape,
            left_out=left_out,
        )

    def _edits(self) -> Rows:
        """Pictures before and after an edit of one of the chosen attributes."""
        listed, chosen = self._attributes()
        path = self.root / FILE
        if not path.is_file():
            raise DataError(f"{shown(self.root)}: no {FILE}, so it has no {COUNTERFACTUAL} part")
        edits = read_edits(path, listed, self.folder)
        kept = [edit for edit in edits if edit.attribute in chosen.names]
        others = [str(edit.target) for edit in edits if edit.attribute not in chosen.names]
        name = f"celeba:{self.root.resolve().name}:{COUNTERFACTUAL}"
        column = self._column(listed, chosen.names)
        rows = edit_rows(name, self.root, kept, listed.names, column, self._shape)
        rows.left_out += LeftOut.of("edits of other attributes", others)
        return rows

    def _column(self, listed: Attributes, names: tuple[str, ...]) -> Flags:
        """The chosen attributes, with the rules of which can't hold together."""
        where = shown(self.root / self.list_file)
        return flags_column(names, listed.names, self.excludes, where)

    @property
    def _shape(self) -> Shape:
        return Shape(self.size, self.channels, self.fit, self.crop)

    def _folder(self) -> tuple[list[str], LeftOut]:
        """The pictures in their folder, by their path in it; and what else lies there."""
        place = self.root / self.folder
        if not os.path.isdir(place):
            raise DataError(
                f"{shown(place)}: no such folder{from_here(place)}; put the pictures there, or "
                "name their folder in data.folder"
            )
        problems: list[LeftOut] = []
        names = sorted(walk(place, problems))
        return [n for n in names if is_picture(n)], sum(problems, no_pictures(names))


READER = CelebaData


def _resolved(files: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """What each listed file is called in the folder, where it is there: as it is listed, or with
    the ending of another kind of picture, as copies of CelebA have it.
    """
    there = set(names)
    if there.issuperset(files):
        return {file: file for file in files}
    stems = Counter(_stem(name) for name in names)
    alone = {_stem(name): name for name in names if stems[_stem(name)] == 1}
    return {
        file: file if file in there else alone[_stem(file)]
        for file in files
        if file in there or _stem(file) in alone
    }


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
