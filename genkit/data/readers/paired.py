"""Two folders of images in pairs: the file names without endings say which belong together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from genkit.config import DataSection, MayChange
from genkit.data.memory import arranged
from genkit.data.sides import list_side
from genkit.errors import DataError, shown
from genkit.rows.base import Rows
from genkit.rows.combine import fitted, renamed, zipped
from genkit.rows.entries import Entry
from genkit.rows.left_out import LeftOut
from genkit.rows.pictures import FileRows


class PairedData(DataSection):
    """Pairs such as drawing and photo: batches hold `source` and `target`, mirrored together."""

    kind: Literal["paired"] = "paired"
    root: MayChange[Path]  # holds NAME/, train/NAME/ and test/NAME/, or trainNAME/ and testNAME/
    source: str = "a"  # name of the folder of what is given
    target: str = "b"  # name of the folder of what is wanted

    def open(self, split: str) -> Rows:
        """The pairs, sorted by name."""
        source, target = _side(self, self.source, split), _side(self, self.target, split)
        _check_partners(source, target)
        _check_partners(target, source)
        stems = sorted(source.found)[: self.limit if split == "train" else None]
        name = f"paired:{self.root.resolve().name}:{split}"
        pairs = zipped(
            self._column("source", source, stems), self._column("target", target, stems), name
        )
        return arranged(pairs, self)

    def _column(self, column: str, side: _Side, stems: list[str]) -> Rows:
        entries = [side.found[stem] for stem in stems]
        rows = FileRows(str(side.folder), entries, left_out=side.left_out)
        same = fitted(rows, self.size, self.channels, self.fit)
        return renamed(same, {"image": column, "file": f"{column}_file"})


READER = PairedData


class _Side(NamedTuple):
    folder: Path
    found: Mapping[str, Entry]  # the images by their path in the folder without its ending
    left_out: LeftOut


def _side(data: PairedData, name: str, split: str) -> _Side:
    folder, listed, left_out = list_side(data.root, name, split)
    found: dict[str, Entry] = {}
    for one in listed:
        stem = one.entry.path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(
                f"{found[stem].where} and {one.entry.where}: two images of one name, so their "
                "partner can't be told; rename one of them and its partner"
            )
        found[stem] = one.entry
    return _Side(folder, found, left_out)


def _check_partners(side: _Side, other: _Side) -> None:
    if alone := sorted(side.found.keys() - other.found.keys()):
        first, share = side.found[alone[0]].where, f"{len(alone)} of {len(side.found)}"
        raise DataError(
            f"{first}: has no partner in {shown(other.folder)}, as {share} images; "
            "put one of the same name there, or delete it"
        )
