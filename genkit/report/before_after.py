"""Pictures before and after: what an evaluation of a model that changes pictures shows."""

from __future__ import annotations

from pathlib import Path

from genkit.errors import shown
from genkit.report.pictures import Picture, load_picture
from genkit.report.record import Record

_MOST = 8


def before_after(record: Record) -> list[tuple[str, Picture]]:
    """The pictures that the evaluation names, as far as they are there."""
    named = [] if record.evaluation is None else record.evaluation.pictures
    found = []
    for each in named[:_MOST]:
        path = _beside(record, each.name)
        picture = loaded(record, path, shown(each.title), show_px=1000) if path else None
        if picture is not None:
            found.append((shown(each.title), picture))
    return found


def _beside(record: Record, name: str) -> Path | None:
    """The file of a picture of an evaluation, in the folder of the evaluation itself."""
    stem = "" if record.is_run else record.path.stem.removesuffix("evaluation").removesuffix("-")
    path = record.folder / (f"{stem}-{name}.png" if stem else f"{name}.png")
    return path if path.parent == record.folder and path.is_file() else None


def loaded(record: Record, path: Path, alt: str, *, show_px: int) -> Picture | None:
    """A picture of a record's folder; None with a note where it can't be read."""
    picture = load_picture(path, alt, show_px=show_px)
    if picture is None:
        record.notes.append(f"{shown(path.name)} is left out: it is not a readable picture")
    return picture
