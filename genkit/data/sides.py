"""Where the two sides of a set of pairs lie."""

from __future__ import annotations

from pathlib import Path

from genkit.errors import DataError
from genkit.rows.folders import list_folder
from genkit.rows.listing import Listed, Listing


def list_side(root: Path, name: str, split: str) -> tuple[Path, list[Listed]]:
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
        if place.is_dir():
            return place, _plain(list_folder(place, label=None), None, place)
    place = root / name
    if not place.is_dir():
        raise DataError(
            f"{root}: no images of {name!r} for {split}; put them in {place}, "
            f"{root / split / name} or {root / f'{split}{name.upper()}'}"
        )
    return place, _plain(list_folder(place, label=None), split, place)


def _plain(listing: Listing, split: str | None, where: Path) -> list[Listed]:
    return [one._replace(label=None) for one in listing.part(split, str(where))]
