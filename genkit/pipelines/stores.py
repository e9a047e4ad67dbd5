"""Where samples are written: a folder of PNG files, or a .part folder that becomes one file.

A store is only a path; what it holds is on the disk, so any process can open it at any time.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genkit.config import differences
from genkit.errors import PipelineError
from genkit.files import write_whole
from genkit.images import from_numpy, png_bytes, to_numpy

Spec = dict[str, Any]
SPEC = "samples.json"
_MARK = "GENKIT.samples"  # key of the spec in a tar file's global header
_LONG = 1_000  # labels beyond this many are not repeated in the mark of a finished file


def store_for(out: Path | str) -> Store:
    """The store that a path stands for, by its suffix."""
    out = Path(out)
    if out.suffix in (".npz", ".tar"):
        return FileStore(out)
    if out.suffix in (".gz", ".tgz", ".zip", ".png", ".gif", ".npy"):
        raise PipelineError(f"{out}: samples go to a folder, FILE.npz or FILE.tar")
    return FolderStore(out)


class Store(ABC):
    """Samples being written to `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out

    @abstractmethod
    def is_finished(self, spec: Spec) -> bool:
        """Whether exactly these samples are complete; an error if `out` holds others."""

    @abstractmethod
    def begin(self, spec: Spec) -> None:
        """Make what writing needs, from any number of processes; keep what is there already."""

    @abstractmethod
    def missing(self) -> NDArray[np.bool_]:
        """Which images are not there yet, one entry each."""

    @abstractmethod
    def write(self, indices: Sequence[int], images: Tensor) -> None:
        """Put images (B, C, H, W) uint8 in place."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the result when no image is missing."""

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

    def _refuse(self, old: Spec, new: Spec, **except_for: Any) -> None:
        changed = differences(old, new | except_for)
        if changed:
            listed = "; ".join(
                f"{k} is {_short(a)}, asked for {_short(b)}" for k, (a, b) in changed.items()
            )
            raise PipelineError(
                f"{self.out}: holds other samples ({listed}); delete it or choose another --out"
            )

    def _all_there(self) -> None:
        missing = self.missing()
        if missing.any():
            raise PipelineError(
                f"{self.out}: {int(missing.sum())} of {len(missing)} images are missing; "
                "run the same command again, what is there is kept"
            )


class FolderStore(Store):
    """000000.png ... with metadata.jsonl and samples.json. Its count may grow later."""

    def is_finished(self, spec: Spec) -> bool:
        """Whether these samples are complete."""
        if not self.out.exists():
            return False
        old = self._spec()
        if old is None:
            return False
        count = max(old["count"], spec["count"]) if spec["count"] >= old["count"] else None
        self._refuse(old if count is None else old | {"count": count}, spec)
        same = old["count"] == spec["count"] and (self.out / "metadata.jsonl").exists()
        return same and not self.missing().any()

    def begin(self, spec: Spec) -> None:
        """Make the folder and write its spec."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_whole(self.out / SPEC, json.dumps(spec))

    def missing(self) -> NDArray[np.bool_]:
        """Which PNG files are not there yet."""
        spec = self._spec()
        there = {entry.name for entry in os.scandir(self.out)}
        count = 0 if spec is None else spec["count"]
        return np.array([_name(i) not in there for i in range(count)], dtype=np.bool_)

    def write(self, indices: Sequence[int], images: Tensor) -> None:
        """One PNG file each, renamed into place."""
        # Thousands of small files: waiting for the disk after each would take most of the time.
        for index, image in zip(indices, images, strict=True):
            write_whole(self.out / _name(index), png_bytes(image), sync=False)

    def finish(self) -> None:
        """Write metadata.jsonl and clear what a kill left behind."""
        self._all_there()
        spec = _read_spec(self.out / SPEC)
        for stray in self.out.glob(".*.new-*"):
            stray.unlink(missing_ok=True)
        lines = []
        for i in range(spec["count"]):
            line: dict[str, Any] = {"file_name": _name(i)}
            if spec["labels"] is not None:
                line["label"] = spec["labels"][i % len(spec["labels"])]
            lines.append(json.dumps(line) + "\n")
        write_whole(self.out / "metadata.jsonl", "".join(lines))

    def _spec(self) -> Spec | None:
        """What the folder says it holds; None if it is new or empty."""
        if (self.out / SPEC).is_file():
            return _read_spec(self.out / SPEC)
        if not self.out.is_dir() or any(self.out.iterdir()):
            raise PipelineError(
                f"{self.out}: is there and holds no samples (no {SPEC}); choose another --out"
            )
        return None


class FileStore(Store):
    """FILE.npz or FILE.tar, grown in FILE.part/: images.npy, done.npy and samples.json."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.part = out.with_name(f"{out.name}.part")

    def is_finished(self, spec: Spec) -> bool:
        """Whether the file is there with these samples."""
        if not self.out.exists():
            return False
        self._refuse(_read_mark(self.out), _mark(spec))
        shutil.rmtree(self.part, ignore_errors=True)  # a kill just before the end leaves it
        return True

    def begin(self, spec: Spec) -> None:
        """Make the part folder at its full size, under another name first."""
        if not self.part.exists():
            fresh = self.part.with_name(f".{self.part.name}.new-{os.getpid()}")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            side, channels = spec["image_size"], spec["channels"]
            _allocate(fresh / "images.npy", np.uint8, (spec["count"], side, side, channels))
            _allocate(fresh / "done.npy", np.bool_, (spec["count"],))
            write_whole(fresh / SPEC, json.dumps(spec))
            try:
                fresh.rename(self.part)
            except OSError:
                shutil.rmtree(fresh, ignore_errors=True)
                if not self.part.exists():
                    raise
                # Another process was faster; its folder is as good.
        self._refuse(_read_spec(self.part / SPEC), spec)

    def missing(self) -> NDArray[np.bool_]:
        """Which images are not marked as written."""
        if not self.part.exists():
            raise PipelineError(f"{self.part}: missing; run `genkit sample` again")
        try:
            return ~np.load(self.part / "done.npy")
        except (ValueError, EOFError):
            raise PipelineError(
                f"{self.part / 'done.npy'}: damaged; delete {self.part} and run again"
            ) from None

    def write(self, indices: Sequence[int], images: Tensor) -> None:
        """Pixels first, then their marks, so that a kill between the two costs one batch only."""
        # Not through a memory map: on a full disk that is a bus error, and this an OSError.
        with (self.part / "images.npy").open("r+b") as file:
            _write_rows(file, indices, to_numpy(images))
            os.fsync(file.fileno())
        with (self.part / "done.npy").open("r+b") as file:
            _write_rows(file, indices, np.ones(len(indices), dtype=np.bool_))

    def finish(self) -> None:
        """Write the file inside the part folder, rename it into place, remove the rest."""
        self._all_there()
        spec = _read_spec(self.part / SPEC)
        whole = self.part / f"whole{self.out.suffix}"
        (_write_npz if self.out.suffix == ".npz" else _write_tar)(whole, self.part, spec)
        with whole.open("rb") as file:
            os.fsync(file.fileno())
        whole.replace(self.out)
        shutil.rmtree(self.part, ignore_errors=True)


# -- files -----------------------------------------------------------------------------------------


def _name(index: int) -> str:
    return f"{index:06d}.png"


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


def _labels(spec: Spec) -> NDArray[np.int64] | None:
    """The class of every image: (N,) int64."""
    cycle = spec["labels"]
    return None if cycle is None else np.resize(np.array(cycle, dtype=np.int64), spec["count"])


def _write_npz(path: Path, part: Path, spec: Spec) -> None:
    """`images` (N, H, W, C) and `labels` (N,), uncompressed, streamed into the zip."""
    labels = _labels(spec)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = json.dumps(_mark(spec)).encode()
        # A ZipInfo has a fixed date, so the same samples are the same file.
        member = zipfile.ZipInfo("images.npy")
        with (
            archive.open(member, "w", force_zip64=True) as target,
            (part / "images.npy").open("rb") as source,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        if labels is not None:
            with archive.open(zipfile.ZipInfo("labels.npy"), "w", force_zip64=True) as target:
                np.lib.format.write_array(target, labels)


def _write_tar(path: Path, part: Path, spec: Spec) -> None:
    """WebDataset: 000000.png and, with classes, 000000.cls for each image."""
    labels = _labels(spec)
    images = np.load(part / "images.npy", mmap_mode="r")
    mark = {_MARK: json.dumps(_mark(spec))}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=mark) as archive:
        for i in range(spec["count"]):
            _add(archive, _name(i), png_bytes(from_numpy(np.array(images[i : i + 1]))[0]))
            if labels is not None:
                _add(archive, _name(i).replace(".png", ".cls"), str(labels[i]).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, BytesIO(content))


def _mark(spec: Spec) -> Spec:
    """The spec as a finished file carries it: a zip's comment holds 64 kB at most."""
    labels = spec["labels"]
    if labels is None or len(labels) <= _LONG:
        return spec
    return spec | {"labels": f"{len(labels)} of them, crc32 {crc32(str(labels).encode()):08x}"}


def _read_mark(path: Path) -> Spec:
    """The spec of a finished file; an error if it has none."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                text = archive.comment.decode()
        else:
            with tarfile.open(path) as archive:
                text = archive.pax_headers.get(_MARK, "")
        return _as_spec(text)
    except (zipfile.BadZipFile, tarfile.TarError, ValueError):
        raise PipelineError(
            f"{path}: not written by `genkit sample`; delete it or choose another --out"
        ) from None


def _read_spec(path: Path) -> Spec:
    try:
        return _as_spec(path.read_text())
    except ValueError:
        raise PipelineError(
            f"{path}: not a spec of samples; delete {path.parent} and run again"
        ) from None


def _as_spec(text: str) -> Spec:
    spec = json.loads(text)
    if (
        not isinstance(spec, dict)
        or not {"format", "count", "labels", "image_size", "channels"} <= spec.keys()
    ):
        raise ValueError("no spec")
    return spec


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
