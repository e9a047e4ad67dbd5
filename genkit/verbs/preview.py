"""A sheet of any data set: some of its rows, each picture of a row beside what is known of it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image as Pictures
from torch import Tensor

from genkit.config import kinds, reader, validate
from genkit.config.overrides import laid_over
from genkit.data import open_data
from genkit.errors import DataError, shown
from genkit.family import load_config
from genkit.files import check_output, write_whole
from genkit.images import png_of
from genkit.images.sheets import Line, sheet
from genkit.rows.base import Rows
from genkit.rows.columns import Class, Column, Columns, File, Flags, Image, Mask, Points, Text
from genkit.rows.combine import fitted
from genkit.rows.files import open_path
from genkit.run_folder import source as source_of
from genkit.verbs.real_images import is_place, is_run

ENDINGS = (".png",)
_SHOWN_PX = 128  # pictures are enlarged to about so many
_FIT_PX = 128  # to which pictures of several sizes are brought
_LETTERS, _WIDTH = 13, 24  # px of letters, and letters of a line
_MOST_LINES = 11  # of words beside a picture


class Preview(NamedTuple):
    """What a sheet shows.

    Attributes:
        path: The sheet.
        name: Of the rows.
        shown: How many of them are on it.
        total: How many there are.
    """

    path: Path
    name: str
    shown: int
    total: int


def preview(
    source: str,
    out: Path,
    *,
    overrides: Sequence[str] = (),
    split: str | None = None,
    count: int = 24,
    seed: int = 0,
) -> Preview:
    """Write a sheet of some rows of a data set, in the order in which an epoch shows them.

    Args:
        source: A config or run folder, whose data it is; images at a path; or a kind, such as
            "faces" or "faces:counterfactual".
        out: The sheet, a PNG file.
        overrides: `data.key=value` settings laid over a config or kind.
        split: The part; None = "train", of a path all of it.
        count: Rows, at most.
        seed: Of the order.

    Raises:
        DataError: There is no such set or part, or it holds no pictures.
        ConfigError: A setting is wrong.
        OutputError: The sheet can't be written there.
    """
    check_output(out, "--out", endings=ENDINGS, inputs=[source])
    rows = opened(source, overrides, split)
    places = rows.order(seed, 0, 1)[:count]
    write_whole(out, png_of(drawn(rows, places)))
    return Preview(out, rows.name, len(places), rows.epoch_size)


def opened(source: str, overrides: Sequence[str] = (), split: str | None = None) -> Rows:
    """The rows that a source names; see `preview`."""
    path = Path(source)
    kind, _, part = source.partition(":")
    if is_run(path) or path.suffix in (".yaml", ".yml"):
        config = load_config(source_of(path)[0], overrides)
        return open_data(config.data, split or "train")
    if is_place(path):
        if overrides:
            where, first = shown(source), shown(overrides[0])
            raise DataError(
                f"{where}: settings need a kind of data: "
                f"`genkit data preview folder data.root={where} {first}`"
            )
        return open_path(path, split)
    if kind not in kinds() or os.sep in source:
        raise DataError(
            f"{shown(source)}: no config, run or images there, and no kind of data; "
            f"kinds are {', '.join(kinds())}, parts are named as faces:test"
        )
    if part and split not in (None, part):
        raise DataError(
            f"{shown(source)}: --split {shown(split)} is another part; name one of both"
        )
    return _of_kind(kind, overrides, part or split or "train")


def _of_kind(kind: str, overrides: Sequence[str], part: str) -> Rows:
    section = reader(kind)
    inner = [override.removeprefix("data.") for override in overrides]
    for override in overrides:
        if not override.startswith("data."):
            raise DataError(f"{shown(override)}: of a kind only data.… can be set")
    tree, _ = laid_over({"kind": kind}, inner, lambda tree: section)
    return open_data(validate(section, tree, f"kind {kind}"), part)


def drawn(rows: Rows, places: Tensor) -> Pictures.Image:
    """The sheet: each row of some as a line, its pictures beside what is known of them."""
    pictures = [n for n, c in rows.columns.items() if isinstance(c, Image | Mask)]
    if not pictures:
        raise DataError(f"{rows.name}: no pictures in it; it has {', '.join(rows.columns)}")
    image = rows.columns.get("image")
    if isinstance(image, Image) and image.size is None:
        rows = fitted(rows, (_FIT_PX, _FIT_PX), 3, "pad")
    raw = rows.read(places)
    lines = []
    for i in range(len(places)):
        images = _alike([_picture(raw[n][i], rows.columns[n]) for n in pictures])
        words = _words(rows.columns, {name: values[i] for name, values in raw.items()})
        above = pictures if len(pictures) > 1 else ()
        lines.append(Line(images, words or " ", above))
    scale = max(1, round(_SHOWN_PX / max(lines[0].images.shape[2:])))
    title = f"{rows.name}: {len(places):,} of {rows.epoch_size:,}"
    return sheet(lines, scale=scale, title=title, letters=_LETTERS)


def _picture(values: Tensor, column: Column) -> Tensor:
    """(3, H, W) uint8 of a picture or mask."""
    grey = values * 255 if isinstance(column, Mask) else values
    return grey.expand(3, -1, -1)


def _alike(images: Sequence[Tensor]) -> Tensor:
    """Pictures of several sizes on white, stacked."""
    height, width = (max(image.shape[i] for image in images) for i in (1, 2))
    room = torch.full((len(images), 3, height, width), 255, dtype=torch.uint8)
    for place, image in zip(room, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return room


def _words(columns: Columns, values: dict[str, Any]) -> str:
    """What is known of a row, in lines; what is left out is counted."""
    lines: list[str] = []
    for name, column in columns.items():
        if isinstance(column, Class):
            number = int(values[name])
            word = str(number) if column.names is None else column.names[number]
            lines += _wrapped(word if name == "label" else f"{name}: {word}")
        elif isinstance(column, Flags):
            lines += _flags(name, column, values[name], columns)
        elif isinstance(column, Text):
            text = values[name] if isinstance(values[name], str) else values[name][0]
            lines += _wrapped(text)
        elif isinstance(column, File):
            lines += [Path(str(values[name])).name]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"and {len(lines) - _MOST_LINES + 1} more lines"]
    return "\n".join(lines)


def _flags(name: str, column: Flags, values: Tensor, columns: Columns) -> list[str]:
    """The names of those that hold; of landmarks how many can be seen."""
    held = [word for word, on in zip(column.names, values.tolist(), strict=True) if on]
    if any(isinstance(c, Points) and c.names == column.names for c in columns.values()):
        return [f"{len(held)} of {len(column.names)} points"]
    several = sum(isinstance(c, Flags) for c in columns.values()) > 1
    begin = [f"{name}:"] if several and name != "attributes" else []
    return begin + (held or ["none"])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, max_lines=5, placeholder=" ..") or [""]
