"""Two folders of images without pairs: each meets another image of the other in every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genkit.config import DataSection, MayChange
from genkit.data.memory import of_listing
from genkit.data.sides import list_side
from genkit.rows.base import Rows
from genkit.rows.combine import unpaired
from genkit.rows.listing import Listing


class UnpairedData(DataSection):
    """Two sets without pairs, such as horses and zebras: batches hold `image_a` and `image_b`."""

    kind: Literal["unpaired"] = "unpaired"
    root: MayChange[Path]  # holds NAME/, train/NAME/ and test/NAME/, or trainNAME/ and testNAME/
    a: str = "a"  # name of the one folder
    b: str = "b"  # name of the other

    def open(self, split: str) -> Rows:
        """All pairs of an image of `a` and one of `b`; `limit` shortens each of the two."""
        name = f"unpaired:{self.root.resolve().name}:{split}"
        return unpaired(self._side(self.a, split), self._side(self.b, split), name)

    def _side(self, side: str, split: str) -> Rows:
        place, listed, left_out = list_side(self.root, side, split)
        listing = Listing("folder", {"": listed})
        return of_listing(str(place), listing, listed, self, split, left_out)


READER = UnpairedData
