"""Files that are whole or not there, the user's cache folder, and downloads into it."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from genkit.errors import OutputError, shown

_CHUNK = 1 << 20
_WAIT_S = 30.0


class DownloadError(OSError):
    """No address gave the file; the message says for each of them why."""


def cache_folder() -> Path:
    """GENKIT_CACHE, or the platform's cache folder for genkit; it need not exist yet."""
    if given := os.environ.get("GENKIT_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "genkit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "genkit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genkit"


def write_whole(
    path: Path, content: bytes | str | Callable[[BinaryIO], None], *, sync: bool = True
) -> None:
    """Write a file under a temporary name, then rename it: no reader ever sees half of it.

    Args:
        path: The file; its folder is made if need be. What was there is replaced: through a link
            what it leads to; a pipe or a device is not replaced but written to.
        content: The bytes, a text (as UTF-8), or what writes them to an open file.
        sync: Wait until the bytes are on the disk, so that a power cut can't empty the file.

    Raises:
        OSError: The folder can't be written or the disk is full; nothing is left behind.
    """
    path = path.resolve() if path.is_symlink() else path
    if is_stream(path):
        with path.open("wb") as stream:
            _fill(stream, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A kill may leave this file; the name differs from one process, host or thread to the next.
    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
    try:
        with fresh.open("xb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            _fill(file, content)
        fresh.chmod(mode)  # safetensors leaves a file that its owner alone may read
        if sync:
            _sync(fresh)  # by name: what filled it may have put another file there
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def clear_leftovers(folder: Path, name: str) -> None:
    """Take away what killed writes of a file have left, which nobody may be writing just now.

    Args:
        folder: Where they lie; it need not exist.
        name: The file's own name, or a pattern of names.
    """
    for leftover in folder.glob(f".{name}.new-*"):
        leftover.unlink(missing_ok=True)


def _fill(file: BinaryIO, content: bytes | str | Callable[[BinaryIO], None]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def is_stream(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: a pipe, device or socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_output(
    path: Path,
    option: str,
    *,
    endings: Sequence[str] = (),
    inputs: Iterable[Path | str | None] = (),
) -> Path:
    """The path, if a file may be written there.

    Args:
        path: Where a result is to go.
        option: What named it, for messages: "--out".
        endings: What a file of this kind may end in, such as (".json",); empty = anything.
        inputs: What the same command reads; None and what doesn't exist is passed over.

    Raises:
        OutputError: It is a folder, has another ending, or is one of the inputs, be it under
            another name.
    """
    name = f"{option} {shown(path)}"
    if path.is_dir():
        raise OutputError(f"{name}: that is a folder; name a file")
    if endings and not is_stream(path) and path.suffix.lower() not in endings:
        raise OutputError(f"{name}: what is written there ends in {' or '.join(endings)}")
    for read in inputs:
        if read is not None and _is_same(path, Path(read)):
            raise OutputError(f"{name}: that is read here ({shown(read)}); name another file")
    return path


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in here with the same folder; the end of a process ends it too.

    On Windows, and on file systems that keep no locks, nobody is waited for.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def download(urls: Sequence[str], path: Path, sha256: str) -> None:
    """Fetch a file from the first address that has it, check it, and put it at `path`.

    Raises:
        DownloadError: No address answered, what came is another file, or it can't be written.
    """
    problems = []
    for url in urls:
        try:
            write_whole(path, lambda file, url=url: _fetch(url, file, sha256))  # type: ignore[misc]
            return
        except (OSError, HTTPException, ValueError) as error:
            problems.append(f"{url}: {error}")
    raise DownloadError("; ".join(problems))


def _fetch(url: str, file: BinaryIO, sha256: str) -> None:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_WAIT_S) as reply:
        while chunk := reply.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise ValueError(f"SHA-256 is {digest.hexdigest()}, expected {sha256}")
