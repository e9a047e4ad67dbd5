"""The user's cache folder: what was downloaded, drawn or unpacked once."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from genkit.errors import DataError

_CHUNK = 1 << 20
_WAIT_S = 30


def cache_folder() -> Path:
    """GENKIT_CACHE, or the platform's cache folder for genkit; it need not exist yet."""
    if given := os.environ.get("GENKIT_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "genkit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "genkit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genkit"


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file under a temporary name, then rename it: no reader ever sees half of it.

    Raises:
        OSError: The folder can't be written or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def download(urls: Sequence[str], path: Path, sha256: str) -> None:
    """Fetch a file from the first address that has it, check it, and put it at `path`.

    Raises:
        DataError: No address answered, or what came is another file; it says what to put where.
    """
    problems = []
    for url in urls:
        try:
            write_whole(path, lambda file, url=url: _fetch(url, file, sha256))  # type: ignore[misc]
            return
        except (OSError, ValueError) as error:
            problems.append(f"{url}: {error}")
    raise DataError(
        f"{path}: missing, and the download failed ({'; '.join(problems)}); "
        f"get {path.name} on another machine and put it there"
    )


def _fetch(url: str, file: BinaryIO, sha256: str) -> None:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_WAIT_S) as reply:
        while chunk := reply.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise ValueError(f"SHA-256 is {digest.hexdigest()}, expected {sha256}")
