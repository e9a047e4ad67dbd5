"""Where the two sides of a set of pairs lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from genkit.errors import DataError, shown
from genkit.rows.entries import Entry
from genkit.rows.folders import from_here, list_folder
from genkit.rows.left_out import LeftOut
from genkit.rows.listing import Listed


class Side(NamedTuple):
    """One side of a set of pairs: its folder, its images and what else lies there."""

    folder: Path
    listed: list[Listed]
    left_out: LeftOut


def list_side(root: Path, name: str, split: str) -> Side:
    """The folder of one side and its images, sorted by name, without classes.

    Args:
        root: Of the whole set.
        name: Of the side: its images lie in SPLIT/NAME, in SPLITNAME as CycleGAN's sets have it
            (trainA), or in NAME, which may have the parts train/ and test/ itself.
        split: The part.

    Raises:
        DataError: There is no such folder, or it has no images.
    """
    for place in (root / split / name, root / f"{split}{name.upper()}"):
        if os.path.isdir(place):
            return _side(place, None)
    place = root / name
    if not os.path.isdir(place):
        raise DataError(
            f"{shown(root)}: no images of {name!r} for {split}{from_here(root)}; put them in "
            f"{shown(place)}, {shown(root / split / name)} or "
            f"{shown(root / f'{split}{name.upper()}')}"
        )
    return _side(place, split)


def _side(place: Path, split: str | None) -> Side:
    listing, where = list_folder(place, label=None), shown(place)
    listed = [one._replace(label=None) for one in listing.part(split, where)]
    return Side(place, listed, listing.without(split, where))


def by_name(side: Side) -> dict[str, Entry]:
    """The images of a side by their path in its folder without its ending.

    Raises:
        DataError: Two have one name.
    """
    found: dict[str, Entry] = {}
    for one in side.listed:
        stem = one.entry.path.relative_to(side.folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(
                f"{found[stem].where} and {one.entry.where}: two images of one name, so their "
                "partner can't be told; rename one of them and its partner"
            )
        found[stem] = one.entry
    return found
