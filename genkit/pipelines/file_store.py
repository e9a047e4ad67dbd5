"""Samples as one file: .npz or .tar, grown in FILE.part/ until it is complete."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import BytesIO
from mimetypes import MimeTypes
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genkit.errors import PipelineError
from genkit.files import alone_in, is_stream, write_whole
from genkit.images import from_numpy, png_bytes, to_numpy
from genkit.pipelines import table
from genkit.pipelines.spec import (
    SPEC,
    Spec,
    made_columns,
    mark,
    parse_spec,
    read_spec,
    refuse_others,
    texts_of,
)
from genkit.pipelines.stores import FolderStore, Store, name_of, one_picture, small, whole_table
from genkit.pipelines.table import Table
from genkit.rows.columns import Class, Column, Columns, Flags, Image, Latent, Mask, Text

_PICTURES = MimeTypes()
# Endings of files, which no folder of samples is called by; v1.5 and made.by.me are folders.
_FILES = {
    *(".json", ".jsonl", ".html", ".htm", ".pdf", ".csv", ".tsv", ".txt", ".xml", ".md", ".yaml"),
    *(".yml", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".npy", ".parquet", ".h5", ".hdf5", ".pkl"),
    *(".safetensors", ".pt", ".pth"),
}
Shapes = Mapping[str, tuple[Any, tuple[int, ...]]]  # type and shape of one row, by array
_MARK = "GENKIT.samples"  # key of the spec in a tar file's global header
_NAMES = {"image": "images", "label": "labels"}  # of arrays; other columns keep their names


def store_for(out: Path | str) -> Store:
    """The store that a path stands for, by its suffix."""
    out = Path(out)
    if out.suffix in (".npz", ".tar"):
        return FileStore(out)
    kind = _PICTURES.guess_type(out.name, strict=False)[0] or ""
    is_picture = kind.startswith(("image/", "video/"))
    if (is_picture or out.suffix.lower() in _FILES) and not out.is_dir():
        sheet = "; for a picture of some give --grid FILE.png" if is_picture else ""
        raise PipelineError(f"{out}: samples go to a folder, FILE.npz or FILE.tar{sheet}")
    return FolderStore(out)


class FileStore(Store):
    """FILE.npz or FILE.tar, grown in FILE.part/: images.npy, done.npy and samples.json."""

    def __init__(self, out: Path) -> None:
        out = out.resolve() if out.is_symlink() else out
        if is_stream(out) or out.is_dir():
            what = "folder" if out.is_dir() else "pipe or a device"
            raise PipelineError(f"{out}: is a {what}, and samples grow in a file; name a file")
        super().__init__(out)
        self.part = out.with_name(f"{out.name}.part")

    def is_finished(self, spec: Spec) -> bool:
        """Whether the file is there with these samples."""
        if not self.out.exists():
            return False
        refuse_others(self.out, _read_mark(self.out), mark(spec))
        self._clear()  # a kill just before the end leaves it
        return True

    def begin(self, spec: Spec, given: Table) -> None:
        """Make the part folder at its full size, under another name first."""
        shapes = {name: _shape(self.out, name, c) for name, c in _arrays(spec).items()}
        if self.out.suffix == ".tar":
            one_picture(self.out, made_columns(spec))
        _refuse_what_is_lost(self.out, made_columns(spec))
        try:
            if not self.part.exists():
                self._make_part(spec, given, shapes)
            refuse_others(self.out, read_spec(self.part / SPEC), spec)
        except FileNotFoundError:
            if not self._is_made_elsewhere():
                raise
            refuse_others(self.out, _read_mark(self.out), mark(spec))

    def _make_part(self, spec: Spec, given: Table, shapes: Shapes) -> None:
        fresh = self.part.with_name(f".{self.part.name}.new-{secrets.token_hex(6)}")
        fresh.mkdir(parents=True)
        for name, (dtype, shape) in shapes.items():
            _allocate(fresh / _file(name), dtype, (spec["count"], *shape))
        _allocate(fresh / "done.npy", np.bool_, (spec["count"],))
        table.write_given(fresh, given)
        write_whole(fresh / SPEC, json.dumps(spec))
        try:
            fresh.rename(self.part)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if not self.part.exists():
                raise
            # Another process was faster; its folder is as good.

    def is_begun(self) -> bool:
        """Whether its part folder is there."""
        return self.part.exists()

    def missing(self) -> NDArray[np.bool_]:
        """Which rows are not marked as written."""
        if self._is_made_elsewhere():
            return self._none_missing()
        try:
            return ~np.load(self.part / "done.npy")
        except FileNotFoundError:
            if self._is_made_elsewhere():
                return self._none_missing()
            raise PipelineError(f"{self.part}: missing; run `genkit sample` again") from None
        except (ValueError, EOFError):
            raise PipelineError(
                f"{self.part / 'done.npy'}: damaged; delete {self.part} and run again"
            ) from None

    def _none_missing(self) -> NDArray[np.bool_]:
        return np.zeros(_read_mark(self.out)["count"], dtype=np.bool_)

    def write(self, indices: Sequence[int], made: Mapping[str, Any]) -> None:
        """Values first, then their marks, so that a kill between the two costs one batch only."""
        try:
            self._write(indices, made)
        except FileNotFoundError:
            if not self._is_made_elsewhere():
                raise

    def _write(self, indices: Sequence[int], made: Mapping[str, Any]) -> None:
        arrays = self._arrays_to_write
        table.write_made(
            self.part, indices, small({n: v for n, v in made.items() if n not in arrays})
        )
        for name, column in arrays.items():
            # Not through a memory map: on a full disk that is a bus error, and this an OSError.
            with (self.part / _file(name)).open("r+b") as file:
                _write_rows(file, indices, _as_rows(column, made[name]))
                os.fsync(file.fileno())
        with (self.part / "done.npy").open("r+b") as file:
            _write_rows(file, indices, np.ones(len(indices), dtype=np.bool_))

    @cached_property
    def _arrays_to_write(self) -> dict[str, Column]:
        return _arrays(read_spec(self.part / SPEC))

    def finish(self) -> None:
        """Write the file inside the part folder, rename it into place, remove the rest."""
        self.all_there()
        try:
            with alone_in(self.part):
                self._finish()
        except FileNotFoundError:
            if not self._is_made_elsewhere():
                raise

    def _finish(self) -> None:
        if self._is_made_elsewhere():
            self._clear()
            return
        spec = read_spec(self.part / SPEC)
        whole = self.part / f"whole{self.out.suffix}"
        (_write_npz if self.out.suffix == ".npz" else _write_tar)(whole, self.part, spec)
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        whole.replace(self.out)
        self._clear()

    def _is_made_elsewhere(self) -> bool:
        """Whether somebody else who makes the same samples has finished them meanwhile."""
        return self.out.exists()

    def _clear(self) -> None:
        """Remove what a kill left too."""
        for path in (self.part, *self.out.parent.glob(f".{self.part.name}.new-*")):
            shutil.rmtree(path, ignore_errors=True)


# -- arrays ----------------------------------------------------------------------------------------


def _arrays(spec: Spec) -> dict[str, Column]:
    """The columns that are made and have a shape: pictures, masks, latents."""
    made = made_columns(spec)
    return {name: c for name, c in made.items() if isinstance(c, Image | Mask | Latent)}


def _refuse_what_is_lost(out: Path, made: Columns) -> None:
    """Raise where a column is made that the file would not hold."""
    kept = (Image, Mask, Latent, Class, Flags, Text)
    lost = [name for name, column in made.items() if not isinstance(column, kept)]
    if lost:
        raise PipelineError(
            f"{out}: can't hold {lost[0]!r}, {made[lost[0]].kind} beside the pictures; call the "
            "pipeline in Python"
        )


def _shape(out: Path, name: str, column: Column) -> tuple[Any, tuple[int, ...]]:
    """The type and shape of one row of an array."""
    if isinstance(column, Latent):
        return np.float32, column.shape
    channels = column.channels if isinstance(column, Image) else 1
    if not isinstance(column, Image | Mask) or column.size is None or channels is None:
        raise PipelineError(
            f"{out}: holds pictures of one size, and {name} may be of any; give --out FOLDER"
        )
    return np.uint8, (*column.size, channels)


def _as_rows(column: Column, values: Tensor) -> NDArray[Any]:
    return values.float().numpy() if isinstance(column, Latent) else to_numpy(values)


def _file(name: str) -> str:
    return f"{_NAMES.get(name, name)}.npy"


def _allocate(path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    """An .npy file of zeros, sparse where the file system can."""
    np.lib.format.open_memmap(path, "w+", dtype, shape).flush()


def _write_rows(file: Any, indices: Sequence[int], rows: NDArray[Any]) -> None:
    """Rows of an open .npy file, by index."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise PipelineError(f"{file.name}: not written by genkit; delete its folder and run again")
    np.lib.format.read_array_header_1_0(file)
    start = file.tell()
    for index, row in zip(indices, rows, strict=True):
        file.seek(start + index * row.nbytes)
        file.write(row.tobytes())


# -- whole files -----------------------------------------------------------------------------------


def _write_npz(path: Path, part: Path, spec: Spec) -> None:
    """`images` (N, H, W, C), `labels` (N,) and other columns by name, uncompressed, streamed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = json.dumps(mark(spec)).encode()
        # A ZipInfo has a fixed date, so the same samples are the same file.
        for name in _arrays(spec):
            member = zipfile.ZipInfo(_file(name))
            with (
                archive.open(member, "w", force_zip64=True) as target,
                (part / _file(name)).open("rb") as source,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
        for name, values in whole_table(part, spec).items():
            with archive.open(zipfile.ZipInfo(_file(name)), "w", force_zip64=True) as target:
                np.lib.format.write_array(target, table.as_array(values), allow_pickle=False)


def _write_tar(path: Path, part: Path, spec: Spec) -> None:
    """WebDataset: 000000.png, and of each row .cls its class, .txt its caption, .json the rest."""
    columns = whole_table(part, spec)
    images = np.load(part / "images.npy", mmap_mode="r")
    header = {_MARK: json.dumps(mark(spec))}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=header) as archive:
        for i in range(spec["count"]):
            row = {name: values[i] for name, values in columns.items()}
            picture = from_numpy(np.array(images[i : i + 1]))[0]
            _add(archive, name_of(i), png_bytes(picture, texts_of(spec, i, row.get("label"))))
            members = {"cls": row.pop("label", None), "txt": row.pop("caption", None)}
            members["json"] = json.dumps(row) if row else None
            for suffix, content in members.items():
                if content is not None:
                    _add(archive, name_of(i).replace("png", suffix), str(content).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, BytesIO(content))


def _read_mark(path: Path) -> Spec:
    """The spec of a finished file; an error if it has none."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                text = archive.comment.decode()
        else:
            with tarfile.open(path) as archive:
                text = archive.pax_headers.get(_MARK, "")
        return parse_spec(text)
    except (zipfile.BadZipFile, tarfile.TarError, ValueError):
        raise PipelineError(
            f"{path}: not written by `genkit sample`; delete it or choose another --out"
        ) from None
