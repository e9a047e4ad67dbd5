"""The texts of captioned rows."""

from __future__ import annotations

from genkit.errors import DataError, shown
from genkit.rows.base import Rows

_CHUNK = 10_000  # rows read at a time


def captions_of(rows: Rows) -> list[str]:
    """Every caption of every row in order, several of one row one after the other.

    Raises:
        DataError: Some of them are empty.
    """
    found: list[str] = []
    empty: list[int] = []
    for start in range(0, len(rows), _CHUNK):
        places = range(start, min(start + _CHUNK, len(rows)))
        texts = rows.read(places, ("caption",))["caption"]
        for place, said in zip(places, texts, strict=True):
            several = [said] if isinstance(said, str) else list(said)
            if not all(each.strip() for each in several):
                empty.append(place)
            found += several
    if empty:
        raise DataError(
            f"{rows.name}: {len(empty)} of {len(rows)} captions are empty, the first is that of "
            f"{_named(rows, empty[0])}; write what it shows, or take it out of the set"
        )
    return found


def _named(rows: Rows, place: int) -> str:
    if "file" not in rows.columns:
        return f"row {place}"
    return shown(str(rows.read([place], ("file",))["file"][0]))
