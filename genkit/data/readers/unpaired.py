"""Two folders of images without pairs: each meets another image of the other in every epoch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from genkit.config import MayChange
from genkit.config.data import LoadedLarger
from genkit.data.memory import of_listing
from genkit.data.sides import Side, list_side
from genkit.errors import DataError, shown
from genkit.rows.base import Rows
from genkit.rows.combine import cropped, unpaired
from genkit.rows.listing import Listing


class UnpairedData(LoadedLarger):
    """Two sets without pairs, such as horses and zebras: batches hold `image_a` and `image_b`."""

    kind: Literal["unpaired"] = "unpaired"
    root: MayChange[Path]  # holds NAME/, train/NAME/ and test/NAME/, or trainNAME/ and testNAME/
    a: str = "a"  # name of the one folder
    b: str = "b"  # name of the other
    channels_a: Literal[1, 3] | None = None  # of the one side; null = channels
    channels_b: Literal[1, 3] | None = None  # of the other

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

    def open(self, split: str) -> Rows:
        """All pairs of an image of `a` and one of `b`; `limit` shortens each of the two."""
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
        data = self.loading(split)
        if channels is not None:
            data = data.model_copy(update={"channels": channels})
        rows = of_listing(str(side.folder), listing, side.listed, data, split, side.left_out)
        return rows if data.size == self.size else cropped(rows, self.size)


READER = UnpairedData
