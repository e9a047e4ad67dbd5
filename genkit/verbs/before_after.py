"""Sheets of a person's pictures and what became of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL.Image import Image as Picture
from torch import Tensor

from genkit.errors import DataError, OutputError, shown
from genkit.files import write_whole
from genkit.images import decode, sheets, to_array
from genkit.images.sheets import Line
from genkit.verbs.change_pictures import Outcome

log = logging.getLogger("genkit")

MOST = 64  # pictures on a sheet
_LETTERS = 14  # px
SIDE = 128  # px of each, at most; smaller ones are enlarged by a whole factor towards it


def before_and_after(outcome: Outcome, path: Path) -> int:
    """How many of the results stand on a sheet, each beside the picture that it is of.

    Args:
        outcome: What was done.
        path: A .png file.
    """
    pairs = []
    for source, result in outcome.pairs[:MOST]:
        try:
            content = source.read(), result.read_bytes()
        except (DataError, OSError):
            continue
        pairs.append((result.stem, [decode(each, source.where) for each in content]))
    if pairs:
        side = thumbnail_side([picture for _, pair in pairs for picture in pair])
        lines = [Line(thumbnails(pair, side), name) for name, pair in pairs]
        if len(outcome.pairs) > MOST:
            log.info("%s: shows the first %d of %d pictures", path, MOST, len(outcome.pairs))
        lines[0] = Line(lines[0].images, lines[0].name, ("before", "after"))
        save_sheet(lines, path)
    return len(pairs)


def thumbnail_side(pictures: Sequence[Picture]) -> int:
    """Side in px of the squares in which all of them are shown."""
    return min(SIDE, max(max(picture.size) for picture in pictures))


def thumbnails(pictures: Sequence[Picture], side: int) -> Tensor:
    """Pictures of any sizes as (N, 3, side, side) uint8, padded to squares."""
    return torch.stack([to_array(picture, side, 3, "pad") for picture in pictures])


def save_sheet(lines: Sequence[Line], path: Path) -> None:
    """Write a sheet as a PNG file, small pictures enlarged, in letters that names fit in."""
    scale = max(1, SIDE // lines[0].images.shape[-1])
    picture = sheets.sheet(lines, scale=scale, letters=_LETTERS)
    try:
        write_whole(path, sheets.png_of(picture))
    except OSError as error:
        raise OutputError(
            f"--grid {shown(path)}: can't be written ({error.strerror or error}); name a writable "
            "folder"
        ) from None
