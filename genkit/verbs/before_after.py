"""Sheets of a person's pictures and what became of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from PIL.Image import Image as Picture
from torch import Tensor

from genkit.errors import DataError, OutputError, shown
from genkit.files import check_output, write_whole
from genkit.images import decode, png_of, sheets, to_array
from genkit.images.sheets import Line
from genkit.verbs.change_pictures import Outcome

log = logging.getLogger("genkit")

MOST = 64  # pictures on a sheet
_LETTERS = 14  # px
_MADE_BY = "Command"  # keyword of the text in a sheet's file
SIDE = 128  # px of each, at most; smaller ones are enlarged by a whole factor towards it


def before_and_after(outcome: Outcome, path: Path, command: str) -> None:
    """Write a sheet of results, each beside the picture that it is of, if there are any.

    Args:
        outcome: What was done; it is told of the sheet.
        path: A .png file.
        command: What makes the sheet.
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
        write_sheet(path, sheet_file(lines, command)[1])
        outcome.sheet = path


def thumbnail_side(pictures: Sequence[Picture]) -> int:
    """Side in px of the squares in which all of them are shown."""
    return min(SIDE, max(max(picture.size) for picture in pictures))


def thumbnails(pictures: Sequence[Picture], side: int) -> Tensor:
    """Pictures of any sizes as (N, 3, side, side) uint8, padded to squares."""
    return torch.stack([to_array(picture, side, 3, "pad") for picture in pictures])


def check_sheet(path: Path, command: str, inputs: Iterable[Path | str | None]) -> None:
    """Raise where a sheet would go over what is read, or over anything but the sheet that the very
    command wrote before.

    Args:
        path: Where it goes.
        command: What makes it.
        inputs: What is read; what doesn't exist is passed over.
    """
    check_output(path, "--grid", endings=(".png",), inputs=inputs)
    if path.exists() and _command_in(path) != _printable(command):
        raise OutputError(
            f"--grid {shown(path)}: is there and is no sheet of this very command; name another "
            "file, or delete it"
        )


def _command_in(path: Path) -> str | None:
    """The command that a sheet carries; None where it is no sheet."""
    try:
        with Image.open(path) as picture:
            found = picture.info.get(_MADE_BY)
    except (OSError, ValueError, SyntaxError):
        return None
    return None if found is None else str(found)


def sheet_file(lines: Sequence[Line], command: str) -> tuple[Picture, bytes]:
    """Lines as a picture and as a PNG file that carries the command; small pictures are enlarged,
    in letters that names fit in.
    """
    scale = max(1, SIDE // lines[0].images.shape[-1])
    picture = sheets.sheet(lines, scale=scale, letters=_LETTERS)
    return picture, png_of(picture, {_MADE_BY: _printable(command)})


def write_sheet(path: Path, png: bytes) -> None:
    """Write a sheet.

    Raises:
        OutputError: It can't be written.
    """
    try:
        write_whole(path, png)
    except OSError as error:
        raise OutputError(
            f"--grid {shown(path)}: can't be written ({error.strerror or error}); name a writable "
            "folder"
        ) from None


def _printable(command: str) -> str:
    """A command with those bytes of file names spelt out that are no letters."""
    return command.encode("utf-8", "backslashreplace").decode()
