"""Two folders of images without pairs: each meets another image of the other in every epoch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from genkit.config import MayChange
from genkit.config.data import LoadedLarger
from genkit.data.memory import arranged, of_listing
from genkit.data.sides import Side, by_name, list_side
from genkit.errors import DataError, shown
from genkit.rows.base import Rows
from genkit.rows.combine import cropped, fitted, renamed, unpaired, zipped
from genkit.rows.entries import Entry
from genkit.rows.left_out import LeftOut
from genkit.rows.listing import Listing
from genkit.rows.pictures import FileRows

TRUTH = "truth"  # the part that holds true counterparts


class UnpairedData(LoadedLarger):
    """Two sets without pairs, such as horses and zebras: batches hold `image_a` and `image_b`.

    Where images of the test part belong together by their names, `counterparts: names` has an
    evaluation measure how near a translation comes to its true counterpart. Training never sees it.
    """

    kind: Literal["unpaired"] = "unpaired"
    root: MayChange[Path]  # holds NAME/, train/NAME/ and test/NAME/, or trainNAME/ and testNAME/
    a: str = "a"  # name of the one folder
    b: str = "b"  # name of the other
    channels_a: Literal[1, 3] | None = None  # of the one side; null = channels
    channels_b: Literal[1, 3] | None = None  # of the other
    scale_width: bool = False  # train: load_size is the width alone, the height as a picture has it
    counterparts: MayChange[Literal["none", "names"]] = "none"  # of the test part, for evaluation

    @model_validator(mode="after")
    def _sides_differ(self) -> UnpairedData:
        if self.a == self.b:
            raise ValueError(
                f"a and b are both {shown(self.a)}: every picture would be of both kinds; name two"
            )
        return self

    @property
    def sides(self) -> tuple[str, str]:
        """What the two kinds of pictures are called."""
        return self.a, self.b

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that can be opened; "truth" holds the counterparts of the test part."""
        return ("train", "test", *((TRUTH,) if self.counterparts == "names" else ()))

    def open(self, split: str) -> Rows:
        """All pairs of an image of `a` and one of `b`; `limit` shortens each of the two.

        Of the part "truth" those pairs of the test part whose names without endings are equal, row
        by row.
        """
        if split == TRUTH and self.counterparts == "names":
            return self._truth()
        name = f"unpaired:{self.root.resolve().name}:{split}"
        sides = [list_side(self.root, side, split) for side in self.sides]
        if os.path.samefile(*(side.folder for side in sides)):
            one, other = (shown(side.folder) for side in sides)
            raise DataError(
                f"{one} and {other} are one folder: there is nothing to translate; name two kinds "
                "with data.a and data.b"
            )
        a = self._side(sides[0], self.channels_a, split)
        b = self._side(sides[1], self.channels_b, split)
        return unpaired(a, b, name)

    def _side(self, side: Side, channels: Literal[1, 3] | None, split: str) -> Rows:
        listing = Listing("folder", {"": side.listed})
        data, scaled = self.loading(split), self.scale_width and split == "train"
        if scaled:  # no lower than the part that is cut
            data = data.model_copy(update={"image_size": (self.size[0], data.size[1])})
        if channels is not None:
            data = data.model_copy(update={"channels": channels})
        rows = of_listing(
            str(side.folder), listing, side.listed, data, split, side.left_out, scaled=scaled
        )
        return cropped(rows, self.size) if scaled or data.size != self.size else rows

    def _truth(self) -> Rows:
        sides = [list_side(self.root, name, "test") for name in self.sides]
        a, b = map(by_name, sides)
        stems = sorted(a.keys() & b.keys())
        if not stems:
            raise DataError(
                f"{shown(self.root)}: no image of the test part has one name in {shown(self.a)} "
                f"and in {shown(self.b)}, so no counterparts are known; give counterparts one "
                "name, or set data.counterparts=none"
            )
        alone = LeftOut.of("without a counterpart of the same name", sorted(a.keys() ^ b.keys()))
        own = [self.channels_a or self.channels, self.channels_b or self.channels]
        pairs = zipped(
            self._column("a", sides[0], [a[stem] for stem in stems], own[0], alone),
            self._column("b", sides[1], [b[stem] for stem in stems], own[1], LeftOut()),
            f"unpaired:{self.root.resolve().name}:{TRUTH}",
        )
        return arranged(pairs, self) if own == [self.channels] * 2 else pairs

    def _column(
        self, end: str, side: Side, entries: list[Entry], channels: int, left_out: LeftOut
    ) -> Rows:
        rows = FileRows(str(side.folder), entries, left_out=left_out)
        same = fitted(rows, self.size, channels, self.fit)
        return renamed(same, {"image": f"image_{end}", "file": f"image_{end}_file"})


READER = UnpairedData
