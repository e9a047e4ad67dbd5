"""Rows whose pictures, or texts, were encoded once: what an encoder made of them is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from genkit.errors import DataError
from genkit.images import to_float
from genkit.rows.base import Indices, Rows
from genkit.rows.columns import Column, Latent, Mirrored, Raw
from genkit.rows.combine import Wrapped
from genkit.rows.kept import Array, Kept

Encode = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) float32 in [-1, 1] to latents (B, ...)
EncodeTexts = Callable[[Sequence[str]], Tensor]  # B texts to embeddings (B, ...)


def cached(
    rows: Rows,
    encode: Encode,
    *,
    identity: str,
    column: str = "latent",
    source: str = "image",
    mirrored: bool = False,
    batch_size: int = 64,
) -> Rows:
    """The same rows with a column of pictures replaced by what an encoder makes of them.

    Every picture is encoded once, and kept in the user's cache folder by its pixels: see `Kept`.

    Args:
        rows: Pictures of one size in the column `source`.
        encode: Pictures (B, C, H, W) float32 in [-1, 1] to latents (B, ...), any device.
        identity: Names the encoder and its weights: another one is not taken from the cache.
        column: What the new column is called.
        source: The column that is encoded.
        mirrored: Whether the mirrored pictures are encoded as well, for rows that are mirrored.
        batch_size: Pictures encoded at a time.

    Raises:
        DataError: A picture can't be read, or the cache folder can't be written.
    """

    def pictures(places: Sequence[int]) -> Tensor:
        found = rows.read(places, (source,))[source]
        if not isinstance(found, Tensor):
            raise DataError(f"{rows.name}: pictures of several sizes can't be encoded; fit them")
        return found

    def keys() -> list[bytes]:
        blocks = (range(start, min(start + batch_size, len(rows)))
                  for start in range(0, len(rows), batch_size))  # fmt: skip
        return [_key(picture) for block in blocks for picture in pictures(block)]

    def encoded(places: Sequence[int]) -> Array:
        images = to_float(pictures(places))
        with torch.no_grad():
            values = encode(images).float().cpu()
            if mirrored:
                values = torch.stack([values, encode(images.flip(3)).float().cpu()], 1)
        return values.numpy()

    kind = f"{identity}{' mirrored' if mirrored else ''}"
    kept = Kept("latents", kind).values(f"{rows.fingerprint}/{source}", keys, encoded, batch_size)
    shape = tuple(kept.shape[1:])
    made: Column = Mirrored(shape[1:], of=source) if mirrored else Latent(shape)
    text = f"{rows.fingerprint}/{kind}/{source}"
    return _Cached(rows, kept, source, column, made, hashlib.sha256(text.encode()).hexdigest())


class CachedTexts:
    """What an encoder made of texts, kept in the user's cache folder.

    Args:
        texts: All that will be asked for; each is encoded once.
        encode: Texts to embeddings (B, ...), any device.
        identity: Names the encoder and its weights.
        batch_size: Texts encoded at a time.

    Raises:
        DataError: The cache folder can't be written.
    """

    def __init__(
        self, texts: Collection[str], encode: EncodeTexts, *, identity: str, batch_size: int = 256
    ) -> None:
        ordered = sorted({*texts})
        keys = [
            hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in ordered
        ]

        def encoded(places: Sequence[int]) -> Array:
            with torch.no_grad():
                return encode([ordered[place] for place in places]).float().cpu().numpy()

        of = hashlib.sha256(b"".join(keys)).hexdigest()
        self._values = Kept("texts", identity).values(of, lambda: keys, encoded, batch_size)
        self._places = {text: place for place, text in enumerate(ordered)}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """The embeddings of texts, (B, ...) float32 on the CPU."""
        places = [self._places[text] for text in texts]
        return torch.from_numpy(np.array(self._values[places]))


class _Cached(Wrapped):
    def __init__(
        self,
        rows: Rows,
        values: Array,
        source: str,
        column: str,
        made: Column,
        fingerprint: str,
    ) -> None:
        columns = {name: kind for name, kind in rows.columns.items() if name != source}
        super().__init__(rows, columns | {column: made})
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


def _key(picture: Tensor) -> bytes:
    """SHA-256 of the pixels of a picture, and of its shape."""
    digest = hashlib.sha256(repr(tuple(picture.shape)).encode())
    digest.update(picture.contiguous().numpy().data)
    return digest.digest()
