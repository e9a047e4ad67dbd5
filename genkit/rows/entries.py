"""Where the bytes of one picture are: a whole file, a part of a tar archive, a member of a zip."""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from genkit.errors import DataError, shown
from genkit.images import REMEDY

LARGEST = 1 << 28  # bytes of one unpacked member that are read at most
LARGEST_TABLE = 1 << 27  # of a table of classes, which takes ten times as much when it is parsed
# What Python's readers of archives and numpy's of arrays raise on damaged or hostile files.
DAMAGE = (
    OSError, ValueError, EOFError, AttributeError, RuntimeError, MemoryError, ArithmeticError,
    LookupError, TypeError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_ZIP_HEAD = struct.Struct("<26xHH")  # of a member: length of its name and of its extra field


@dataclass(frozen=True, slots=True)
class Entry:
    """The bytes of one picture.

    Attributes:
        path: The file that holds them.
        name: What messages call the picture.
        offset: Where in the file they begin.
        size: How many they are, unpacked.
        damage: Why there is nothing to read, such as a link to nowhere; empty = there is.
    """

    path: Path
    name: str
    offset: int
    size: int
    damage: str = field(default="", kw_only=True)

    @property
    def where(self) -> str:
        """The name as messages show it."""
        return shown(self.name)

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, or only the first `limit` of them.

        Raises:
            DataError: They can't be read.
        """
        return self._read(self.offset, self.size if limit is None else min(limit, self.size))

    def _read(self, offset: int, size: int) -> bytes:
        if self.damage:
            raise DataError(f"{self.where}: {self.damage}; {REMEDY}")
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"{self.where}: can't be read ({why}); {REMEDY}") from None


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
        return DataError(f"{self.where}: can't be read ({why}); write it anew")


def file_entry(path: Path) -> Entry:
    """A whole file. One that can't be read is an entry too: whoever reads it is told why."""
    damage, size = "", 0
    try:
        state = path.stat()
        size = state.st_size
        if not stat.S_ISREG(state.st_mode):
            # A pipe would be waited for, a device might never end.
            damage, size = "a pipe, a device or a folder, and no file", 0
    except OSError as error:
        damage = f"can't be read ({error.strerror or error})"
        if path.is_symlink():
            damage = f"a link to {shown(os.readlink(path))}, which isn't there"
    return Entry(path, str(path), 0, size, damage=damage)


def zip_entry(path: Path, member: zipfile.ZipInfo) -> ZipEntry:
    """A member of a zip file.

    Raises:
        DataError: It leads out of the set, unpacks to too much, or is packed in a way that is not
            read.
    """
    name = f"{path}:{member.filename}"
    where = shown(name)
    refuse_escape(member.filename, shown(path))
    refuse_large(member.file_size, where)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or (
        member.flag_bits & 1
    ):
        raise DataError(f"{where}: encrypted or packed in a rare way; write it stored or deflated")
    return ZipEntry(
        path,
        name,
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
        raise DataError(f"{where}: the name {shown(name)} leads out of the set; not read")


def refuse_large(size: int, where: str, most: int | None = None) -> None:
    """Raise a `DataError` if one member would take too much memory; `most` is `LARGEST`."""
    most = LARGEST if most is None else most
    if size > most:
        raise DataError(f"{where}: {size:,} bytes unpacked, {most:,} are read at most")
