"""Where samples are written: a folder of PNG files, or a .part folder that becomes one file.

A store is only a path; what it holds is on the disk, so any process can open it at any time.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genkit.errors import PipelineError
from genkit.files import write_whole
from genkit.images import png_bytes
from genkit.pipelines import table
from genkit.pipelines.spec import SPEC, Spec, made_columns, read_spec, refuse_others, texts_of
from genkit.pipelines.table import Table
from genkit.rows.columns import Class, Columns, Flags, Raw, Text


class Store(ABC):
    """Samples being written to `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out

    @abstractmethod
    def is_finished(self, spec: Spec) -> bool:
        """Whether exactly these samples are complete; an error if `out` holds others."""

    @abstractmethod
    def begin(self, spec: Spec, given: Table) -> None:
        """Make what writing needs, from any number of processes; keep what is there already.

        Args:
            spec: What the samples are.
            given: What each of them was given, see `table.table_of`.

        Raises:
            PipelineError: It can't hold what the pipeline makes.
        """

    @abstractmethod
    def missing(self) -> NDArray[np.bool_]:
        """Which rows are not there yet, one entry each."""

    @abstractmethod
    def is_begun(self) -> bool:
        """Whether there are rows of samples that were begun."""

    def present(self) -> int:
        """How many rows of samples that were begun are there."""
        return int((~self.missing()).sum()) if self.is_begun() else 0

    @abstractmethod
    def write(self, indices: Sequence[int], made: Mapping[str, Raw]) -> None:
        """Put what was made of B rows in place: pictures as uint8 (B, C, H, W)."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the result when no row is missing."""

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Full disks and missing rights, said to a person."""
        try:
            yield
        except OSError as error:
            raise PipelineError(
                f"{self.out}: can't be written ({error.strerror or error}); what is there is kept: "
                "free some space or choose a writable folder, then run the same command again"
            ) from None

    def all_there(self) -> None:
        """Raise unless no row is missing."""
        missing = self.missing()
        if missing.any():
            raise PipelineError(
                f"{self.out}: {int(missing.sum())} of {len(missing)} images are missing; "
                "run the same command again, what is there is kept"
            )


class FolderStore(Store):
    """000000.png ..., or the names of the files given, with metadata.jsonl and samples.json.

    Its count may grow later.
    """

    def is_finished(self, spec: Spec) -> bool:
        """Whether these samples are complete."""
        if not self.out.exists():
            return False
        old = self._spec()
        if old is None:
            return False
        count = max(old["count"], spec["count"]) if spec["count"] >= old["count"] else None
        refuse_others(self.out, old if count is None else old | {"count": count}, spec)
        same = old["count"] == spec["count"] and (self.out / "metadata.jsonl").exists()
        return same and not self.missing().any()

    def begin(self, spec: Spec, given: Table) -> None:
        """Make the folder and write its spec."""
        one_picture(self.out, made_columns(spec))
        self.out.mkdir(parents=True, exist_ok=True)
        listing = self.out / "metadata.jsonl"
        beside = [name for name in made_columns(spec) if name != "image"]
        if beside and listing.is_file():  # it grows: what is there stands in its listing
            table.keep_made(self.out, listing.read_text().splitlines(), beside)
        write_whole(self.out / SPEC, json.dumps(spec))
        table.write_given(self.out, given)
        for parent in {PurePath(name).parent for name in given.get("file_name", ())}:
            (self.out / parent).mkdir(parents=True, exist_ok=True)

    def is_begun(self) -> bool:
        """Whether the folder says what it holds."""
        return (self.out / SPEC).is_file()

    def missing(self) -> NDArray[np.bool_]:
        """Which PNG files are not there yet."""
        spec = self._spec()
        names = [] if spec is None else self._names(spec)
        folders = {PurePath(name).parent for name in names}
        there = {
            (folder / entry.name).as_posix()
            for folder in folders
            for entry in os.scandir(self.out / folder)
        }
        return np.array([name not in there for name in names], dtype=np.bool_)

    def write(self, indices: Sequence[int], made: Mapping[str, Raw]) -> None:
        """One PNG file each, renamed into place."""
        names = self._names_to_write
        table.write_made(self.out, indices, small(made))
        # Thousands of small files: waiting for the disk after each would take most of the time.
        spec, labels = self._spec_to_write, made.get("label")
        for i, (index, image) in enumerate(zip(indices, made["image"], strict=True)):
            label = self._label_given(index) if labels is None else int(labels[i])
            picture = png_bytes(image, texts_of(spec, index, label))
            try:
                write_whole(self.out / names[index], picture, sync=False)
            except FileNotFoundError:  # cleared by somebody else who finished the same samples
                if not (self.out / names[index]).exists():
                    raise

    def finish(self) -> None:
        """Write metadata.jsonl and clear what a kill left behind."""
        self.all_there()
        spec = read_spec(self.out / SPEC)
        for stray in self.out.rglob(".*.new-*"):
            stray.unlink(missing_ok=True)
        if self._is_listed(spec):
            table.clear(self.out)
            return
        names, columns = self._names(spec), whole_table(self.out, spec)
        columns = {name: values for name, values in columns.items() if name != "file"}
        lines = []
        for i in range(spec["count"]):
            line = {"file_name": names[i]} | {name: columns[name][i] for name in columns}
            lines.append(json.dumps(line) + "\n")
        write_whole(self.out / "metadata.jsonl", "".join(lines))
        table.clear(self.out)

    def _is_listed(self, spec: Spec) -> bool:
        """Whether metadata.jsonl names as many pictures as there are to be."""
        listing = self.out / "metadata.jsonl"
        return listing.is_file() and listing.read_bytes().count(b"\n") == spec["count"]

    @cached_property
    def _names_to_write(self) -> list[str]:
        return self._names(self._spec_to_write)

    @cached_property
    def _spec_to_write(self) -> Spec:
        return read_spec(self.out / SPEC)

    @cached_property
    def _labels(self) -> list[int] | None:
        """Those that are cycled through, or those of all rows."""
        cycle: list[int] | None = self._spec_to_write["labels"]
        return table.read_given(self.out).get("label") if cycle is None else cycle

    def _label_given(self, index: int) -> int | None:
        return self._labels[index % len(self._labels)] if self._labels else None

    def _names(self, spec: Spec) -> list[str]:
        """What each picture is called: as the file it was made of, or by its number."""
        given = table.read_given(self.out)
        if "file_name" in given:
            return given["file_name"]
        listing = self.out / "metadata.jsonl"
        if "file" in spec.get("held", ()) and listing.is_file():
            return [json.loads(line)["file_name"] for line in listing.read_text().splitlines()]
        return [name_of(i) for i in range(spec["count"])]

    def _spec(self) -> Spec | None:
        """What the folder says it holds; None if it is new or empty."""
        # Looked at in this order, since somebody else may be writing the same samples: the spec
        # comes before all else that they write.
        names = [path.name for path in self.out.iterdir()] if self.out.is_dir() else []
        if (self.out / SPEC).is_file():
            return read_spec(self.out / SPEC)
        if not self.out.is_dir() or any(not name.startswith(f".{SPEC}.new-") for name in names):
            raise PipelineError(
                f"{self.out}: is there and holds no samples (no {SPEC}); choose another --out"
            )
        return None


def name_of(index: int) -> str:
    """What the picture of a row is called where nothing else is said."""
    return f"{index:06d}.png"


def small(made: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was made, by column, what is no picture and no array: (B,) or (B, A) values."""
    return {name: raw for name, raw in made.items() if _is_small(raw)}


def _is_small(raw: Any) -> bool:
    return not isinstance(raw, Tensor) or (raw.ndim < 3 and not raw.is_floating_point())


def one_picture(out: Path, made: Columns) -> None:
    """Raise unless rows are one picture each, and beside it what JSON can hold."""
    others = [
        n for n, c in made.items() if n != "image" and not isinstance(c, Class | Flags | Text)
    ]
    if "image" not in made or others:
        raise PipelineError(
            f"{out}: holds one picture a row, and this pipeline makes {', '.join(made)}; "
            "give --out FILE.npz"
        )


def whole_table(folder: Path, spec: Spec) -> Table:
    """Every column beside the pictures, for all rows: the label first."""
    given = table.read_given(folder)
    given.pop("file_name", None)
    cycle, count = spec["labels"], spec["count"]
    labels = {} if cycle is None else {"label": [cycle[i % len(cycle)] for i in range(count)]}
    return labels | given | table.read_made(folder, count)
