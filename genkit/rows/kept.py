"""What an encoder made of pictures or texts, kept on the disk, so that each is encoded once.

A value is known by what was encoded, its SHA-256, among those of the same encoder. So of a set in
which one picture changed, that one is encoded anew, and what two sets share is encoded for one.

Legend: N values.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genkit.errors import DataError
from genkit.files import cache_folder, clear_leftovers

log = logging.getLogger("genkit")

Array = NDArray[Any]
Encode = Callable[[Sequence[int]], Array]  # places -> their values, one after the other

_BYTES = 32  # of a SHA-256
_SIGN_S = 15.0  # seconds between two signs of life


class Kept:
    """Values of one encoder in the user's cache folder.

    Args:
        kind: What they are of, such as "latents": a folder.
        identity: Names the encoder and its weights: another one shares nothing with it.
    """

    def __init__(self, kind: str, identity: str) -> None:
        name = hashlib.sha256(identity.encode()).hexdigest()[:_BYTES]
        self.kind, self.folder = kind, cache_folder() / kind / name

    def values(
        self, of: str, keys: Callable[[], Sequence[bytes]], encode: Encode, batch_size: int
    ) -> Array:
        """The values of a set, (N, ...) as they lie on the disk, read when they are asked for.

        Args:
            of: Identifies the set: where its values are there as a whole, nothing else is asked.
            keys: SHA-256 of what is to be encoded, N of them.
            encode: Gives the values of those that are not kept.
            batch_size: How many are encoded at a time.

        Raises:
            DataError: The cache folder can't be written.
        """
        path = self._path(of)
        found = _whole(path)
        if found is None:
            try:
                self._add(path, keys(), encode, batch_size)
            except OSError as error:
                raise DataError(
                    f"{path}: {self.kind} can't be written ({error}); free space, or set "
                    "GENKIT_CACHE to a writable folder"
                ) from None
            found = np.load(path, mmap_mode="r")
        assert found is not None
        return found

    def _path(self, of: str) -> Path:
        return self.folder / f"{hashlib.sha256(of.encode()).hexdigest()[:_BYTES]}.npy"

    def _add(self, path: Path, keys: Sequence[bytes], encode: Encode, batch_size: int) -> None:
        """Write the values of a set: first what is kept elsewhere, then what has to be encoded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.folder, path.name)
        known = self._known(keys)
        missing = [place for place, key in enumerate(keys) if key not in known]
        log.info(
            "%s: %s of %s to be encoded%s",
            *(self.kind, f"{len(missing):,}", f"{len(keys):,}"),
            ", the others are kept" if known else "",
        )
        fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
        try:
            self._fill(fresh, keys, known, self._encoded(missing, encode, batch_size))
            np.save(_keys_of(path), np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _BYTES))
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)

    def _fill(
        self,
        fresh: Path,
        keys: Sequence[bytes],
        known: dict[bytes, tuple[Array, int]],
        encoded: Iterator[tuple[Sequence[int], Array]],
    ) -> None:
        first = next(encoded, None)
        like = first[1][0] if first is not None else next(iter(known.values()))[0][0]
        shape = (len(keys), *like.shape)
        values = np.lib.format.open_memmap(fresh, "w+", like.dtype, shape)
        for place, key in enumerate(keys):
            if key in known:
                held, row = known[key]
                values[place] = held[row]
        if first is not None:
            values[list(first[0])] = first[1]
        for places, made in encoded:
            values[list(places)] = made
        values.flush()

    def _encoded(
        self, missing: Sequence[int], encode: Encode, batch_size: int
    ) -> Iterator[tuple[Sequence[int], Array]]:
        said = time.monotonic()
        for start in range(0, len(missing), batch_size):
            places = missing[start : start + batch_size]
            yield places, encode(places)
            if time.monotonic() - said > _SIGN_S:
                said, done = time.monotonic(), start + len(places)
                log.info("%s: %s of %s encoded", self.kind, f"{done:,}", f"{len(missing):,}")

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, tuple[Array, int]]:
        """Where values of these keys lie in other files: the file and the row."""
        wanted, found = {*keys}, {}
        for path in sorted(self.folder.glob("*.keys.npy")):
            held = _whole(path.with_name(path.name.removesuffix(".keys.npy") + ".npy"))
            if held is not None:
                for row, key in enumerate(np.load(path)):
                    if (name := key.tobytes()) in wanted:
                        found[name] = (held, row)
        return found


def _whole(path: Path) -> Array | None:
    """The values of a file, read when they are asked for; None where it or its keys are missing,
    or damaged, which is said: then they are encoded anew."""
    keys = _keys_of(path)
    if not path.is_file() or not keys.is_file():
        return None
    try:
        values, known = np.load(path, mmap_mode="r"), np.load(keys)
        fit = known.shape == (len(values), _BYTES) and known.dtype == np.uint8
    except (OSError, ValueError, EOFError, TypeError):  # no array, or a part of one
        fit = False
    if not fit:
        log.warning("%s: damaged, so what it held is encoded anew", path)
        path.unlink(missing_ok=True)
        keys.unlink(missing_ok=True)
        return None
    return values


def _keys_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".npy") + ".keys.npy")
