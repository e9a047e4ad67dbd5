"""A person's pictures as vectors, each beside its file; vectors are kept in the user's cache.

A vector belongs to the bytes of a file and the weights of a model, so a picture that was moved is
known again and one that was changed is not. One that can't be read is named and has no vector.

Legend: N pictures, P embedding.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genkit.errors import DataError
from genkit.files import alone_in, cache_folder, write_whole
from genkit.images import REMEDY, to_float
from genkit.images.originals import read_original
from genkit.nn.image_text import square
from genkit.pipelines.samples import weights_sha256
from genkit.verbs.change_pictures import Bar
from genkit.verbs.own_pictures import Found, Source

log = logging.getLogger("genkit")

_BATCH = 64  # pictures embedded at a time
VERSION = 1  # raise it when a change here changes a vector


@dataclass
class Embedded:
    """Pictures that could be read, each with its vector.

    Attributes:
        sources: N of them.
        vectors: (N, P) of length 1.
        failed: Why others have none, by what they are called.
        known: How many vectors were in the cache.
    """

    sources: list[Source]
    vectors: Tensor
    failed: dict[str, str] = field(default_factory=dict)
    known: int = 0


def embed_pictures(pipeline: Any, found: Found, bar: Bar | None = None) -> Embedded:
    """The vectors of pictures by an `ImageTextPipeline`.

    Args:
        pipeline: The model.
        found: The pictures.
        bar: Makes something that is told how far the work is.
    """
    cache = _Cache(f"{weights_sha256(pipeline)} {pipeline.normalisation}")
    rows: dict[int, np.ndarray[Any, Any]] = {}
    waiting: list[tuple[int, str, Tensor]] = []  # place, SHA-256 of the file, pixels
    failed: dict[str, str] = {}
    count = len(found.sources)

    def embed() -> None:
        if waiting:
            vectors = pipeline(image=[pixels for _, _, pixels in waiting], batch_size=len(waiting))
            for (place, digest, _), vector in zip(waiting, vectors, strict=True):
                rows[place] = cache.put(digest, torch.as_tensor(vector).numpy())
            waiting.clear()

    with nullcontext() if bar is None else bar(count, count, count, 1) as advance:
        for place, source in enumerate(found.sources):
            try:
                content = source.read()
                digest = hashlib.sha256(content).hexdigest()
                if (known := cache.get(digest)) is not None:
                    rows[place] = known
                else:
                    # As the model sees it: 64 photographs at their own size would be gigabytes.
                    pixels = read_original(content, source.where, 3).pixels
                    pixels = (square(to_float(pixels[None]), pipeline.side)[0] + 1) / 2
                    waiting.append((place, digest, pixels))
            except DataError as error:
                why = str(error).removesuffix(f"; {REMEDY}").removeprefix(f"{source.where}: ")
                failed[source.where] = why
                log.warning("%s: left out, %s", source.where, why)
            if len(waiting) == _BATCH:
                embed()
            if advance is not None:
                advance.batch(1)
        embed()
    cache.save()
    places = sorted(rows)
    if not places:
        raise DataError(f"none of {count:,} pictures can be read; name others")
    vectors = torch.from_numpy(np.stack([rows[place] for place in places]))
    return Embedded([found.sources[i] for i in places], vectors, failed, cache.hits)


class _Cache:
    """Vectors by the SHA-256 of files, of one model."""

    def __init__(self, model: str) -> None:
        digest = hashlib.sha256(model.encode()).hexdigest()
        self.path = cache_folder() / "embedded" / f"{VERSION}-{digest[:32]}.npz"
        self.hits, self._new = 0, dict[str, np.ndarray[Any, Any]]()
        self._known = self._read()

    def get(self, digest: str) -> np.ndarray[Any, Any] | None:
        found = self._known.get(digest)
        self.hits += found is not None
        return found

    def put(self, digest: str, vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self._new[digest] = vector
        return vector

    def save(self) -> None:
        """Write what is new, beside what other commands have written meanwhile."""
        if not self._new:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone_in(self.path.parent):
                whole = self._read() | self._new
                write_whole(self.path, _packed(whole))
        except OSError as error:
            log.info("vectors are not kept for the next time (%s)", error.strerror or error)

    def _read(self) -> dict[str, np.ndarray[Any, Any]]:
        try:
            content = io.BytesIO(self.path.read_bytes())
            with np.load(content, allow_pickle=False) as file:
                return dict(zip(file["names"].tolist(), file["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}  # not there yet, or damaged: made anew


def _packed(vectors: dict[str, np.ndarray[Any, Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array([*vectors]), vectors=np.stack([*vectors.values()]))
    return buffer.getvalue()
