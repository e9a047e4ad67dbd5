"""The samples of a run as a page shows them: a sheet with class names, or a row of eight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from genkit.errors import shown
from genkit.report.pictures import Picture, as_picture, load_picture
from genkit.report.record import Record
from genkit.report.samples import Few, evenly, is_begun, read_few

_ROW = 8  # samples beside a run's name
_SHEET_PX, _ROW_PX = 600, 420
_GAP = 2
_LONGEST = 24  # letters of a class's name


@dataclass(frozen=True)
class Gallery:
    """Generated pictures: rows under one caption, each with the name of its class or ""."""

    rows: list[tuple[str, Picture]]
    caption: str


def gallery(record: Record) -> Gallery | None:
    """The sheet that was drawn, else the first of the samples, else the last preview."""
    sheet = record.picture("samples-grid.png")
    if sheet is not None:
        drawn = load_picture(sheet, f"Generated images in rows, {record.name}", show_px=720)
        if drawn is not None:
            return Gallery([("", drawn)], "Generated images, as genkit sample drew them.")
        record.notes.append("samples-grid.png is left out: it is not a readable picture")
    few = few_of(record)
    if few is not None:
        return _sheet(record, few)
    for step, path in reversed(record.previews.get("", [])):
        preview = load_picture(path, f"Preview at step {step:,}", show_px=720)
        if preview is not None:
            return Gallery([("", preview)], f"The last preview, at step {step:,} of the training.")
    return None


def few_of(record: Record) -> Few | None:
    """Some of the samples, or None with a note where they can't be read."""
    return None if record.samples is None else _read(record, record.samples)


@lru_cache(8)
def _read_once(path: Path, _: int) -> Few | str:
    try:
        return read_few(path)
    except ValueError as error:
        return str(error)


def _read(record: Record, path: Path) -> Few | None:
    found = _read_once(path, path.stat().st_mtime_ns)
    if isinstance(found, Few):
        return found
    note = f"{shown(path.name)} is not shown: {shown(found)}"
    if note not in record.notes:
        record.notes.append(note)
    return None


def _sheet(record: Record, few: Few) -> Gallery:
    names = class_names(record, few.labels)
    if names is None:
        side = max(1, min(8, 1200 // max(few.pictures[0].width, 1)))
        lines = [
            few.pictures[i : i + side] for i in range(0, min(len(few.pictures), side**2), side)
        ]
        rows = [("", line) for line in lines]
    else:
        by_class: dict[str, list[Image.Image]] = {}
        for name, picture in zip(names, few.pictures, strict=True):
            by_class.setdefault(name, []).append(picture)
        rows = [(shown(n, _LONGEST), line[:_ROW]) for n, line in by_class.items()]
    columns = max(len(line) for _, line in rows)
    pictures = [
        (name, _strip(line, columns, f"Generated images{f' of {name}' if name else ''}", _SHEET_PX))
        for name, line in rows
    ]
    return Gallery(pictures, _caption(record, few, sum(len(line) for _, line in rows)))


def _caption(record: Record, few: Few, count: int) -> str:
    assert record.samples is not None
    name = shown(record.samples.name)
    if asked := is_begun(record.samples):
        return f"{count} samples of {name}, begun and not finished: {asked} were asked for."
    if few.count in (None, count):
        return f"{'The ' if few.count else ''}{count} samples in {name}."
    return f"{count} of the {few.count:,} samples in {name}."


def class_names(record: Record, labels: Sequence[str] | None) -> list[str] | None:
    """The names of the classes of samples, as the training's data calls them."""
    if labels is None:
        return None
    known = record.provenance.data.class_names
    return [known[int(n)] if n.isdecimal() and int(n) < len(known) else n for n in labels]


def eight(record: Record) -> Picture | None:
    """Eight samples in a row, of as many classes as there are; None without samples."""
    few = few_of(record)
    if few is None:
        return None
    places = list(range(len(few.pictures)))
    if few.labels is not None:
        first = {label: place for place, label in reversed([*enumerate(few.labels)])}
        of_each = sorted(first.values())
        places = of_each if len(of_each) >= _ROW else places
    line = [few.pictures[place] for place in evenly(places, _ROW)]
    return _strip(line, _ROW, f"Samples of {record.name}", _ROW_PX)


def _strip(line: Sequence[Image.Image], columns: int, alt: str, show_px: int) -> Picture:
    """Pictures side by side, in as much room as the longest row of them takes."""
    width, height = line[0].size
    mode = "L" if all(picture.mode == "L" for picture in line) else "RGB"
    strip = Image.new(
        mode, (columns * (width + _GAP) - _GAP, height), 255 if mode == "L" else "white"
    )
    for place, picture in enumerate(line):
        strip.paste(picture.convert(mode), (place * (width + _GAP), 0))
    return as_picture(strip, alt, show_px=show_px)
