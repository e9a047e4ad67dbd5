"""The user's cache folder: what is costly to compute or to fetch, named by its content."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


def cache_root() -> Path:
    """$GENKIT_CACHE, or ~/.cache/genkit. It need not exist."""
    return Path(os.environ.get("GENKIT_CACHE") or Path.home() / ".cache" / "genkit")


def remember(path: Path, make: Callable[[], Tensor]) -> Tensor:
    """The tensor of that safetensors file; made, and kept there if the folder can be written.

    A file that is broken is made anew. Without a writable cache the work is repeated next time and
    nothing else changes.
    """
    try:
        return load(path.read_bytes())["features"]
    except (OSError, SafetensorError, KeyError):
        made = make()
    with contextlib.suppress(OSError):
        write_whole(path, save({"features": made.contiguous()}))
    return made


def write_whole(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; this one is as readable as any other.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
