"""Pictures that genkit reads otherwise than the tools whose protocols it follows.

clean-fid, pytorch-fid and torch-fidelity let Pillow make "RGB" of a file: transparency is dropped,
an EXIF mark that turns the picture is not looked at, and deep greys are cut at 255. genkit lays
transparency on white, turns the picture upright and scales its depth.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from genkit.errors import shown
from genkit.rows.base import Rows
from genkit.rows.entries import Entry
from genkit.rows.pictures import FileRows

ORIENTATION = 0x0112
_CLEAR = ("RGBA", "LA", "PA", "La", "RGBa")


def read_otherwise(rows: object) -> int:
    """How many pictures of a set are in files that those tools read otherwise."""
    while isinstance(beneath := getattr(rows, "rows", None), Rows):
        rows = beneath
    return sum(map(_is_other, rows.entries)) if isinstance(rows, FileRows) else 0


def notes(counts: dict[str, int], protocol: str) -> Iterator[str]:
    """What a reader must know of these counts, by the name of the set."""
    for name, count in counts.items():
        yield (
            f"{shown(name)}: {count:,} pictures have transparency, an EXIF turn or more than 8 "
            f"bits; the tools of protocol {protocol} drop or cut that and genkit does not; save "
            "them as plain 8-bit RGB for the same values"
        )


def _is_other(entry: Entry) -> bool:
    with Image.open(io.BytesIO(entry.read())) as picture:
        if picture.mode.startswith(("I", "F")) or picture.getexif().get(ORIENTATION, 1) != 1:
            return True
        if picture.mode not in _CLEAR and "transparency" not in picture.info:
            return False
        least, _ = picture.convert("RGBA").getchannel("A").getextrema()
        return least != 255
