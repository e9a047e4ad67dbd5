"""Sets of images as they are stored: folders, .npz, .zip and .tar files, rows of data sets."""

from __future__ import annotations

import json
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genkit.errors import DataError, EvaluationError
from genkit.evaluation.sets import ImageSet, Reader
from genkit.images import EXTENSIONS, decode, from_numpy, stack, to_mode

LARGEST_MEMBER = 1 << 28  # bytes of an unpacked file in a .zip
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


def open_path(path: Path) -> ImageSet:
    """What `ImageSet.from_path` gives."""
    if path.is_dir():
        return _from_folder(path)
    if "*" in path.name and (shards := sorted(path.parent.glob(path.name))):
        return _from_tars(path.name, shards)
    if not path.is_file():
        raise EvaluationError(f"{path}: no such folder or file of images")
    if path.suffix == ".npz":
        return _from_npz(path)
    if path.suffix == ".zip":
        return _from_zip(path)
    if path.suffix == ".tar":
        return _from_tars(path.name, [path])
    raise EvaluationError(
        f"{path}: expected a folder of images, an .npz, .zip or .tar file, or NAME-*.tar"
    )


def open_rows(name: str, dataset: Any, image: str, label: str | None) -> ImageSet:
    """What `ImageSet.from_dataset` gives."""
    labels = None
    if label is not None:
        whole = hasattr(dataset, "column_names")  # without decoding the pictures
        column = dataset[label] if whole else [row[label] for row in dataset]
        classes = [_class(getattr(c, "item", lambda c=c: c)(), name) for c in column]
        labels = _labels(classes, name)
    return ImageSet(name, _Rows(dataset, image, name), labels)


class _Files(Reader):
    def read(self, key: Path) -> Tensor:
        return _decode(key, str(key))


class _TarMembers(Reader):
    """Members of uncompressed tar files by file, name, offset and size."""

    def read(self, key: tuple[Path, tarfile.TarInfo]) -> Tensor:
        path, member = key
        with path.open("rb") as file:
            file.seek(member.offset_data)
            return _decode(file.read(member.size), f"{path}:{member.name}")


class _ZipMembers(Reader):
    """Members of a zip file; one at a time, whatever the number of threads."""

    def __init__(self, path: Path, keys: Sequence[zipfile.ZipInfo]) -> None:
        super().__init__(keys)
        self.path, self.archive, self.lock = path, zipfile.ZipFile(path), threading.Lock()

    def read(self, key: zipfile.ZipInfo) -> Tensor:
        where = f"{self.path}:{key.filename}"
        try:
            with self.lock:
                content = self.archive.read(key)
        except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise EvaluationError(f"{where}: can't be read ({error}); write it anew") from None
        return _decode(content, where)


class _Rows(Reader):
    """Rows of a data set; `keys` is the data set itself."""

    def __init__(self, dataset: Any, column: str, name: str) -> None:
        super().__init__(dataset)
        self.column, self.name = column, name

    def read(self, key: Any) -> Tensor:
        if self.column not in key:
            columns = ", ".join(map(str, key))
            raise EvaluationError(f"{self.name}: no column {self.column!r}; there are: {columns}")
        picture = key[self.column]
        if isinstance(picture, Mapping):  # as files are kept undecoded
            picture = picture["bytes"]
        return _decode(picture, self.name) if isinstance(picture, bytes) else _pixels(picture)


def _decode(source: bytes | Path, where: str) -> Tensor:
    try:
        picture = decode(source, where)
    except DataError as error:
        # The floor's advice is about training; here a file can only be replaced.
        reason = str(error).split("; replace")[0]
        raise EvaluationError(f"{reason}; replace or delete it") from None
    return _pixels(picture)


def _pixels(picture: Image.Image) -> Tensor:
    grey = picture.mode in GREY_MODES or picture.mode.startswith("I;16")
    return stack([to_mode(picture, 1 if grey else 3)])[0]


# -- folders ---------------------------------------------------------------------------------------


def _from_folder(path: Path) -> ImageSet:
    metadata = path / "metadata.jsonl"
    if metadata.is_file():
        return _from_metadata(path, metadata)
    files: list[Path] = _images_in(path)
    labels = None
    if not files and (shards := sorted(path.glob("*.tar"))):
        return _from_tars(path.name, shards)
    if not files:
        files, labels = _from_classes(path)
    if not files:
        raise EvaluationError(f"{path}: no images in this folder")
    return ImageSet(path.name, _Files(files), labels)


def _images_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file())


def _from_classes(path: Path) -> tuple[list[Path], Tensor]:
    """Sub-folders as classes: their numbers if all names are numbers, else their sorted order."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    numbered = all(p.name.isdecimal() for p in folders)
    files: list[Path] = []
    labels: list[int] = []
    for position, folder in enumerate(folders):
        found = _images_in(folder)
        files += found
        labels += [int(folder.name) if numbered else position] * len(found)
    return files, torch.tensor(labels, dtype=torch.int64)


def _from_metadata(path: Path, metadata: Path) -> ImageSet:
    rows = [_metadata_row(metadata, n, line) for n, line in _lines(metadata)]
    if not rows:
        raise EvaluationError(f"{path}: no images in this folder")
    files = [path / row.name for row in rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise EvaluationError(
            f"{metadata}: names {len(missing)} files that are not there, first {missing[0].name!r}"
        )
    found = ImageSet(path.name, _Files(files), _labels([row.label for row in rows], str(metadata)))
    captions = [row.caption for row in rows if row.caption is not None]
    if len(captions) == len(rows):
        found.captions = tuple(captions)
    return found


class _Row(NamedTuple):
    name: str
    label: int | None
    caption: str | None


def _lines(metadata: Path) -> list[tuple[int, str]]:
    try:
        text = metadata.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{metadata}: can't be read: {error}") from None
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _metadata_row(metadata: Path, number: int, line: str) -> _Row:
    where = f"{metadata}:{number}"
    try:
        row = json.loads(line)
        name = row["file_name"]
    except (ValueError, TypeError, KeyError):
        raise EvaluationError(f'{where}: expected {{"file_name": ..., "label": ...}}') from None
    _refuse_escape(str(name), where)
    label = _class(row.get("label"), where)
    caption = row.get("caption", row.get("text"))
    return _Row(str(name), label, None if caption is None else str(caption))


def _refuse_escape(name: str, where: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise EvaluationError(f"{where}: the name {name!r} leads out of the set; not read")


def _labels(labels: Sequence[int | None], where: str) -> Tensor | None:
    known = [label for label in labels if label is not None]
    if not known:
        return None
    if len(known) != len(labels):
        lacking = len(labels) - len(known)
        raise EvaluationError(f"{where}: {lacking} of {len(labels)} images have no label; give all")
    return torch.tensor(known, dtype=torch.int64)


# -- files -----------------------------------------------------------------------------------------


BROKEN = (
    OSError, ValueError, EOFError, AttributeError, RuntimeError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def open_arrays(path: Path, wanted: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The wanted arrays of an .npz file, the others empty; none that is pickled is read."""
    try:
        # numpy leaves a file open that it can't read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                _refuse_escape(name, str(path))
            return {n: archive[n] if n in wanted else np.empty(0) for n in archive.files}
    except BROKEN as error:
        raise EvaluationError(f"{path}: not a readable .npz of plain arrays ({error})") from None


def _from_npz(path: Path) -> ImageSet:
    arrays = open_arrays(path, ("images", "labels"))
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None:
        raise EvaluationError(f"{path}: expected an array `images`, found {sorted(arrays)}")
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W) -> (N, H, W, 1)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise EvaluationError(
            f"{path}: images are {images.dtype} {images.shape}, "
            "expected uint8 (N, H, W, C) with C = 1 or 3"
        )
    if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
        raise EvaluationError(
            f"{path}: labels are {labels.dtype} {labels.shape}, expected (N,) int"
        )
    known = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return ImageSet.from_arrays(path.name, None, from_numpy(images), known)


def _from_tars(name: str, paths: Sequence[Path]) -> ImageSet:
    pictures: list[tuple[Path, tarfile.TarInfo]] = []
    labels: list[int | None] = []
    for path in paths:
        found, classes = _tar_members(path)
        pictures += [(path, member) for member in found]
        labels += classes
    if not pictures:
        raise EvaluationError(f"{paths[0]}: no images in this file")
    return ImageSet(name, _TarMembers(pictures), _labels(labels, str(paths[0])))


def _tar_members(path: Path) -> tuple[list[tarfile.TarInfo], list[int | None]]:
    """The pictures of one file and the class of each."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = [m for m in archive if not m.isdir()]
            labels = {_key(m): _tar_label(archive, m, path) for m in members if _is_label(m)}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise EvaluationError(f"{path}: not a readable uncompressed .tar ({error})") from None
    for member in members:
        _refuse_escape(member.name, str(path))
        if not member.isreg():
            raise EvaluationError(f"{path}:{member.name}: links and devices are not read")
    pictures = [m for m in members if Path(m.name).suffix.lower() in EXTENSIONS]
    return pictures, [labels.get(_key(m)) for m in pictures]


def _from_zip(path: Path) -> ImageSet:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            for member in members:
                _refuse_escape(member.filename, str(path))
                _refuse_large(member, path)
            known = archive.read("dataset.json") if "dataset.json" in archive.namelist() else b"{}"
    except BROKEN as error:
        raise EvaluationError(f"{path}: not a readable .zip ({error})") from None
    pictures = sorted(
        (m for m in members if Path(m.filename).suffix.lower() in EXTENSIONS),
        key=lambda m: m.filename,
    )
    if not pictures:
        raise EvaluationError(f"{path}: no images in this file")
    where = f"{path}:dataset.json"
    try:
        labels = dict(json.loads(known).get("labels") or [])
    except (ValueError, TypeError, AttributeError):
        expected = '{"labels": [[name, class], ...]}'
        raise EvaluationError(f"{where}: expected {expected}") from None
    classes = [_class(labels.get(m.filename), where) for m in pictures]
    return ImageSet(path.name, _ZipMembers(path, pictures), _labels(classes, where))


def _refuse_large(member: zipfile.ZipInfo, path: Path) -> None:
    if member.file_size > LARGEST_MEMBER:
        raise EvaluationError(
            f"{path}:{member.filename}: {member.file_size:,} bytes unpacked, "
            f"{LARGEST_MEMBER:,} are read at most"
        )


def _class(label: object, where: str) -> int | None:
    """A class as files name it: an integer, or nothing."""
    if label is not None and (not isinstance(label, int) or isinstance(label, bool)):
        raise EvaluationError(f"{where}: label {label!r} is not an integer class")
    return label


def _is_label(member: tarfile.TarInfo) -> bool:
    return member.isreg() and member.name.endswith(".cls")


def _key(member: tarfile.TarInfo) -> str:
    return member.name.rpartition(".")[0]


def _tar_label(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    file = archive.extractfile(member)
    text = b"" if file is None else file.read(32)
    try:
        return int(text)
    except ValueError:
        raise EvaluationError(f"{path}:{member.name}: {text!r} is not a class number") from None
