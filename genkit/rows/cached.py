"""Rows whose pictures were encoded once: what an encoder made of them is kept on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from genkit.errors import DataError
from genkit.files import cache_folder, write_whole
from genkit.images import to_float
from genkit.rows.base import Indices, Rows
from genkit.rows.columns import Latent, Raw
from genkit.rows.combine import Wrapped

Encode = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) float32 in [-1, 1] to latents (B, ...)


def cached(
    rows: Rows,
    encode: Encode,
    *,
    identity: str,
    column: str = "latent",
    source: str = "image",
    batch_size: int = 64,
) -> Rows:
    """The same rows with a column of pictures replaced by what an encoder makes of them.

    Every picture is encoded once, and kept in the user's cache folder.

    Args:
        rows: Pictures of one size in the column `source`.
        encode: Pictures (B, C, H, W) float32 in [-1, 1] to latents (B, ...), any device.
        identity: Names the encoder and its weights: another one is not taken from the cache.
        column: What the new column is called.
        source: The column that is encoded.
        batch_size: Pictures encoded at a time.

    Raises:
        DataError: A picture can't be read, or the cache folder can't be written.
    """
    text = f"{rows.fingerprint}/{identity}/{source}"
    key = hashlib.sha256(text.encode()).hexdigest()
    path = cache_folder() / "latents" / f"{key[:32]}.npy"
    if not path.is_file():
        values = torch.cat(list(_encoded(rows, encode, source, batch_size))).numpy()
        try:
            write_whole(path, lambda file: np.save(file, values))
        except OSError as error:
            raise DataError(
                f"{path}: latents of {rows.name} can't be written ({error}); free space, or set "
                "GENKIT_CACHE to a writable folder"
            ) from None
    return _Cached(rows, np.load(path, mmap_mode="r"), source, column, key)


class _Cached(Wrapped):
    def __init__(
        self, rows: Rows, values: np.ndarray, source: str, column: str, fingerprint: str
    ) -> None:
        columns = {name: kind for name, kind in rows.columns.items() if name != source}
        super().__init__(rows, columns | {column: Latent(tuple(values.shape[1:]))})
        self.values, self.column, self._fingerprint = values, column, fingerprint

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        wanted = self.check_columns(only)
        found = self.rows.read(indices, [name for name in wanted if name != self.column])
        if self.column in wanted:
            places = torch.as_tensor(indices, dtype=torch.int64).numpy()
            found[self.column] = torch.from_numpy(np.array(self.values[places]))
        return found

    @property
    def fingerprint(self) -> str:
        return self._fingerprint


def _encoded(rows: Rows, encode: Encode, source: str, batch_size: int) -> list[Tensor]:
    found = []
    for start in range(0, len(rows), batch_size):
        block = range(start, min(start + batch_size, len(rows)))
        pictures = rows.read(block, (source,))[source]
        if not isinstance(pictures, Tensor):
            raise DataError(f"{rows.name}: pictures of several sizes can't be encoded; fit them")
        with torch.no_grad():
            found.append(encode(to_float(pictures)).float().cpu())
    return found
