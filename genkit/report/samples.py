"""A few pictures out of a file or folder of samples, to be looked at.

By the standard library, numpy and Pillow, so that a page needs no torch and is there at once. What
is measured is read by `genkit.rows`, whose rules these follow as far as a look needs them.
"""

from __future__ import annotations

import io
import json
import tarfile
import tokenize
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST = 100  # pictures of a sheet
_FROM = 1000  # rows or members that they are chosen from
_MOST_LABELS = 1_000_000
_LARGEST = 32 << 20  # bytes of a picture
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


@dataclass(frozen=True)
class Few:
    """Some of the samples in their order.

    Attributes:
        pictures: At most a hundred.
        labels: The class of each, by number or name; None where there are no classes.
        count: How many samples there are; None where that isn't known without reading them all.
    """

    pictures: list[Image.Image]
    labels: list[str] | None
    count: int | None


def read_few(path: Path) -> Few:
    """Some of the samples of a folder, .npz, .tar or .zip, as many of each class if they have any.

    Raises:
        ValueError: There are none, or they can't be read.
    """
    reader = {".npz": _npz, ".tar": _tar, ".zip": _zip}.get(path.suffix, _folder)
    try:
        few = reader(path)
    except (OSError, SyntaxError, EOFError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    except (ArithmeticError, tokenize.TokenError) as error:  # of an array's header
        raise ValueError(f"its header can't be read ({error})") from None
    except (tarfile.TarError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from None
    if not few.pictures:
        raise ValueError("no pictures in it")
    return few


def _chosen(labels: Sequence[str] | None, count: int) -> list[int]:
    """Positions of a sheet's pictures: without classes the first ones, else as many of each."""
    if labels is None:
        return list(range(min(count, MOST)))
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels[:count]):
        places.setdefault(label, []).append(place)
    few = evenly(list(places), 10)
    return sorted(place for label in few for place in places[label][: MOST // len(few)])


def evenly(things: list[Any], most: int) -> list[Any]:
    """At most so many of them, the first and the last among them, evenly spread."""
    if len(things) <= most:
        return things
    return [things[round(i * (len(things) - 1) / (most - 1))] for i in range(most)]


# -- npz -------------------------------------------------------------------------------------------


def _npz(path: Path) -> Few:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in ("images.npy", "arr_0.npy") if name in archive.namelist()]
        if not names:
            raise ValueError("it holds no array of images")
        # Of a packed file the end can't be reached without unpacking all before it.
        is_packed = archive.getinfo(names[0]).compress_type != zipfile.ZIP_STORED
        labels = _labels(archive, _FROM if is_packed else _MOST_LABELS)
        with archive.open(names[0]) as member:
            file = cast("BinaryIO", member)
            shape, kind = _header(file)
            count, size = shape[0], int(np.prod(shape[1:], dtype=np.int64))
            if len(shape) not in (3, 4) or kind != np.uint8 or not 0 < size <= _LARGEST:
                raise ValueError(f"images of shape {shape} and type {kind}, expected N x H x W x C")
            chosen, start = _chosen(labels, count), file.tell()
            pictures = []
            for place in chosen:
                file.seek(start + place * size)
                pixels = np.frombuffer(file.read(size), np.uint8).reshape(shape[1:])
                pictures.append(_picture(pixels))
    return Few(pictures, labels and [labels[place] for place in chosen], count)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2
    shape, by_columns, kind = read(file)
    if by_columns:
        raise ValueError("its images lie column by column")
    return shape, kind


def _header_2(file: BinaryIO) -> Any:
    return np.lib.format.read_array_header_2_0(file)


def _labels(archive: zipfile.ZipFile, most: int) -> list[str] | None:
    """The labels of the first images."""
    if "labels.npy" not in archive.namelist():
        return None
    with archive.open("labels.npy") as member:
        shape, kind = _header(cast("BinaryIO", member))
        if len(shape) != 1 or kind.kind not in "iu":
            return None
        found = np.frombuffer(member.read(min(shape[0], most) * kind.itemsize), kind)
    return [str(label) for label in found]


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)


# -- files -----------------------------------------------------------------------------------------


def _folder(path: Path) -> Few:
    listed = _listing(path / "metadata.jsonl")
    names = list(listed) or sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.suffix.lower() in _ENDINGS and not file.name.startswith(".")
    )
    labels = [_label(listed.get(name), name) for name in names]
    kept = None if None in labels or not names else [str(label) for label in labels]
    chosen = _chosen(kept, len(names))
    pictures = [_opened((path / names[place]).open("rb")) for place in chosen]
    return Few(pictures, kept and [kept[place] for place in chosen], len(names))


def _listing(file: Path) -> dict[str, dict[str, Any]]:
    """The rows of metadata.jsonl by the names of their files, which lie within the folder."""
    found: dict[str, dict[str, Any]] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8-sig").split("\n"):
            row = json.loads(line) if line.strip() else {}
            name = PurePath(str(row.get("file_name", "")))
            if name.name and not name.is_absolute() and ".." not in name.parts:
                found[str(name)] = row
    return found


def _label(row: dict[str, Any] | None, name: str) -> str | None:
    """What a listing says, else the sub-folder."""
    label = None if row is None else row.get("label")
    if isinstance(label, int | str):
        return str(label)
    return None if row is not None or "/" not in name else name.partition("/")[0]


def _opened(file: BinaryIO | Any) -> Image.Image:
    with file, Image.open(file) as picture:
        return picture.convert("RGB" if picture.mode not in ("L", "1") else "L")


def _tar(path: Path) -> Few:
    with tarfile.open(path, "r:") as archive:
        first = [member for _, member in zip(range(_FROM), archive, strict=False)]
        classes = {
            str(PurePath(member.name).with_suffix("")): _bytes(archive.extractfile(member)).decode()
            for member in first
            if member.name.endswith(".cls") and member.isfile() and member.size < 100
        }
        images = [m for m in first if m.isfile() and _is_small_picture(m.name, m.size)]
        labels = [classes.get(str(PurePath(m.name).with_suffix(""))) for m in images]
        kept = None if None in labels or not labels else [str(label).strip() for label in labels]
        chosen = _chosen(kept, len(images))
        pictures = [_opened(io.BytesIO(_bytes(archive.extractfile(images[p])))) for p in chosen]
    count = len(images) if len(first) < _FROM else None
    return Few(pictures, kept and [kept[place] for place in chosen], count)


def _zip(path: Path) -> Few:
    with zipfile.ZipFile(path) as archive:
        images = [m for m in archive.infolist() if _is_small_picture(m.filename, m.file_size)]
        chosen = _chosen(None, len(images))
        pictures = [_opened(io.BytesIO(_bytes(archive.open(images[place])))) for place in chosen]
    return Few(pictures, None, len(images))


def _is_small_picture(name: str, size: int) -> bool:
    pure = PurePath(name)
    hidden = pure.name.startswith(".") or "__MACOSX" in pure.parts
    return pure.suffix.lower() in _ENDINGS and not hidden and size <= _LARGEST


def _bytes(file: Any) -> bytes:
    """At most what a picture may hold, whatever the file says of its size."""
    with file:
        return bytes(file.read(_LARGEST))


def is_begun(path: Path) -> str:
    """Of a folder of samples that is not finished how many were asked for, as text; else ""."""
    spec = path / "samples.json"
    if not spec.is_file() or (path / "metadata.jsonl").is_file():
        return ""
    try:
        return f"{json.loads(spec.read_text(encoding='utf-8'))['count']:,}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "?"
