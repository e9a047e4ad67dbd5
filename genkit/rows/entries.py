"""Where the bytes of one picture are: a whole file, a part of a tar archive, a member of a zip."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from genkit.errors import DataError

LARGEST = 1 << 28  # bytes of one unpacked member that are read at most
_ZIP_HEAD = struct.Struct("<26xHH")  # of a member: length of its name and of its extra field


@dataclass(frozen=True, slots=True)
class Entry:
    """The bytes of one picture.

    Attributes:
        path: The file that holds them.
        name: What messages call the picture.
        offset: Where in the file they begin.
        size: How many they are, unpacked.
    """

    path: Path
    name: str
    offset: int
    size: int

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, or only the first `limit` of them.

        Raises:
            DataError: They can't be read.
        """
        return self._read(self.offset, self.size if limit is None else min(limit, self.size))

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise DataError(f"{self.name}: can't be read ({error})") from None


@dataclass(frozen=True, slots=True)
class ZipEntry(Entry):
    """A member of a zip file, read without the rest of it: by any thread, in any process.

    Attributes:
        packed: Bytes that it takes in the file.
        crc: Its checksum.
        deflated: Whether it is compressed.
    """

    packed: int
    crc: int
    deflated: bool

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, or only the first `limit` of them.

        Raises:
            DataError: They can't be read, or are not those that were written.
        """
        head = self._read(self.offset, _ZIP_HEAD.size)
        if len(head) < _ZIP_HEAD.size:
            raise self._damaged("cut short")
        start = self.offset + _ZIP_HEAD.size + sum(_ZIP_HEAD.unpack(head))
        content = self._read(start, self.packed)
        try:
            whole = (
                zlib.decompressobj(-15).decompress(content, LARGEST) if self.deflated else content
            )
        except zlib.error as error:
            raise self._damaged(str(error)) from None
        if zlib.crc32(whole) != self.crc:
            raise self._damaged("its checksum is another")
        return whole if limit is None else whole[:limit]

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.name}: can't be read ({why}); write it anew")


def file_entry(path: Path) -> Entry:
    """A whole file.

    Raises:
        DataError: It is not there.
    """
    try:
        return Entry(path, str(path), 0, path.stat().st_size)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error})") from None


def zip_entry(path: Path, member: zipfile.ZipInfo) -> ZipEntry:
    """A member of a zip file.

    Raises:
        DataError: It leads out of the set, unpacks to too much, or is packed in a way that is not
            read.
    """
    where = f"{path}:{member.filename}"
    refuse_escape(member.filename, str(path))
    refuse_large(member.file_size, where)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or (
        member.flag_bits & 1
    ):
        raise DataError(f"{where}: encrypted or packed in a rare way; write it stored or deflated")
    return ZipEntry(
        path,
        where,
        member.header_offset,
        member.file_size,
        member.compress_size,
        member.CRC,
        member.compress_type == zipfile.ZIP_DEFLATED,
    )


def refuse_escape(name: str, where: str) -> None:
    """Raise a `DataError` if a name inside a set leads out of it."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise DataError(f"{where}: the name {name!r} leads out of the set; not read")


def refuse_large(size: int, where: str) -> None:
    """Raise a `DataError` if one member would take too much memory."""
    if size > LARGEST:
        raise DataError(f"{where}: {size:,} bytes unpacked, {LARGEST:,} are read at most")
