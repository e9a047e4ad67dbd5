"""Local WebDataset shards: tar archives in which KEY.png lies beside KEY.cls or KEY.json."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genkit.config import MayChange
from genkit.config.data import InBuckets
from genkit.data.memory import of_listing
from genkit.rows.archives import list_shards
from genkit.rows.base import Rows


class ShardsData(InBuckets):
    """Local WebDataset shards, .tar or .tar.gz: KEY.png|jpg with KEY.cls or KEY.json beside it."""

    kind: Literal["shards"] = "shards"
    root: MayChange[Path]  # a folder, one file, or a pattern such as data/train-*.tar

    def open(self, split: str) -> Rows:
        """The images of the shards that `root` names: of those whose names say the split."""
        listing = list_shards(self.root, split)
        listed = listing.part(split, str(self.root))
        name = f"shards:{self.root.resolve().name}:{split}"
        left_out = listing.without(split, str(self.root))
        return of_listing(name, listing, listed, self, split, left_out)


READER = ShardsData
