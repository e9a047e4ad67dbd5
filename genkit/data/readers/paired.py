"""Pairs of images: two folders whose file names say which belong together, or one file a pair."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor

from genkit.config import MayChange
from genkit.config.data import LoadedLarger
from genkit.data.memory import arranged
from genkit.data.sides import by_name, list_side
from genkit.errors import DataError, shown
from genkit.images import decoding
from genkit.rows.base import Indices, Rows, hash_values
from genkit.rows.columns import File, Raw
from genkit.rows.combine import cropped, fitted, renamed, zipped
from genkit.rows.entries import Entry
from genkit.rows.files import list_path
from genkit.rows.left_out import LeftOut
from genkit.rows.listing import Listing
from genkit.rows.pictures import FileRows, Shape

HALVES = ("a", "b")  # of a file that holds both pictures of a pair: the left one, the right one
VALIDATION = "val"  # the part that published sets of pairs have where others have "test"

log = logging.getLogger("genkit")


class PairedData(LoadedLarger):
    """Pairs such as drawing and photo: batches hold `source` and `target`, mirrored together."""

    kind: Literal["paired"] = "paired"
    root: MayChange[Path]  # holds NAME/, train/NAME/ and test/NAME/, or trainNAME/ and testNAME/
    layout: Literal["folders", "side-by-side"] = "folders"  # side-by-side: a|b in each file of root
    source: str = "a"  # folder of what is given; side-by-side: a = the left half, b = the right one
    target: str = "b"  # folder of what is wanted, or the other half

    @model_validator(mode="after")
    def _sides_differ(self) -> PairedData:
        if self.source == self.target:
            raise ValueError(
                f"source and target are both {shown(self.source)}: every picture would be its own "
                "target; name two"
            )
        if self.layout == "side-by-side" and {self.source, self.target} != {*HALVES}:
            raise ValueError(
                f"source={shown(self.source)} and target={shown(self.target)} with "
                "layout=side-by-side: name the halves, a the left one and b the right one"
            )
        return self

    @property
    def sides(self) -> tuple[str, str]:
        """What is given and what is wanted."""
        return self.source, self.target

    def open(self, split: str) -> Rows:
        """The pairs, sorted by name."""
        data = self.loading(split)
        pairs = data.pairs(split)
        return arranged(pairs if data.size == self.size else cropped(pairs, self.size), data)

    def pairs(self, split: str) -> Rows:
        """The pairs of a part at `image_size`, decoded when they are asked for."""
        name = f"paired:{self.root.resolve().name}:{split}"
        if self.layout == "side-by-side":
            return self._halves(name, split)
        source, target = _side(self, self.source, split), _side(self, self.target, split)
        _check_partners(source, target)
        _check_partners(target, source)
        stems = sorted(source.found)[: self.limit if split == "train" else None]
        return zipped(
            self._column("source", source, stems), self._column("target", target, stems), name
        )

    def _column(self, column: str, side: _Side, stems: list[str]) -> Rows:
        entries = [side.found[stem] for stem in stems]
        rows = FileRows(str(side.folder), entries, left_out=side.left_out)
        same = fitted(rows, self.size, self.channels, self.fit)
        return renamed(same, {"image": column, "file": f"{column}_file"})

    def _halves(self, name: str, split: str) -> Rows:
        listing, where = list_path(self.root, label=None), shown(self.root)
        part = _validation_for_test(listing, split, where)
        entries = [one.entry for one in listing.part(part, where)]
        entries = entries[: self.limit if split == "train" else None]
        listing.say(name, part)
        shape = Shape(self.size, self.channels, self.fit)
        files = FileRows(name, entries, shape=shape, left_out=listing.without(part, where))
        return Halves(files, shape, self.source, self.target)


READER = PairedData


class Halves(Rows):
    """Pairs that lie side by side in one file each, cut apart when they are asked for.

    Args:
        files: The files, as yet uncut.
        shape: What each half is brought to.
        source: The half that is given: "a" the left one, "b" the right one.
        target: The half that is wanted.
    """

    def __init__(self, files: FileRows, shape: Shape, source: str, target: str) -> None:
        columns = {"source": shape.column, "target": shape.column, "file": File()}
        super().__init__(files.name, columns)
        self.files, self.shape, self.left_out = files, shape, files.left_out
        self.halves = {"source": HALVES.index(source), "target": HALVES.index(target)}

    def __len__(self) -> int:
        return len(self.files)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B pairs; each file is decoded once, now."""
        wanted = self.check_columns(only)
        places = torch.as_tensor(indices, dtype=torch.int64).tolist()
        found: dict[str, Raw] = {"file": [self.files.entries[i].name for i in places]}
        if sides := [name for name in wanted if name in self.halves]:
            pairs = [self._cut(self.files.entries[i]) for i in places]
            for name in sides:
                found[name] = torch.stack([pair[self.halves[name]] for pair in pairs])
        return {name: found[name] for name in wanted}

    def _cut(self, entry: Entry) -> list[Tensor]:
        """The left and the right half of a file.

        Raises:
            DataError: The file is broken, or its width is odd.
        """
        with decoding(entry.read(), entry.where) as picture:
            width, height = picture.size
            if width % 2:
                raise DataError(
                    f"{entry.where}: {width} px wide, which is odd, so it does not hold two "
                    "pictures of one size side by side; replace or delete it"
                )
            half = width // 2
            boxes = ((left, 0, left + half, height) for left in (0, half))
            return [self.shape.of(picture.crop(box), entry.where) for box in boxes]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files and of which half is given."""
        return hash_values([self.files.fingerprint, "halves", self.halves["source"]])


def _validation_for_test(listing: Listing, split: str, where: str) -> str:
    """The part that is read for a split: of published sets without "test" it is "val"."""
    if split != "test" or split in listing.parts or VALIDATION not in listing.parts:
        return split
    log.info("%s: there is no part test; the pictures of val are taken for it", where)
    return VALIDATION


class _Side(NamedTuple):
    folder: Path
    found: Mapping[str, Entry]  # the images by their path in the folder without its ending
    left_out: LeftOut


def _side(data: PairedData, name: str, split: str) -> _Side:
    side = list_side(data.root, name, split)
    return _Side(side.folder, by_name(side), side.left_out)


def _check_partners(side: _Side, other: _Side) -> None:
    if alone := sorted(side.found.keys() - other.found.keys()):
        first, share = side.found[alone[0]].where, f"{len(alone)} of {len(side.found)}"
        raise DataError(
            f"{first}: has no partner in {shown(other.folder)}, as {share} images; "
            "put one of the same name there, or delete it"
        )
