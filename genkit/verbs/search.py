"""The pictures that fit a text best, or that are most like another picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit.errors import PipelineError, shown
from genkit.files import check_output, write_whole
from genkit.images import png_of, sheets
from genkit.images.originals import read_original
from genkit.nn.image_text import square
from genkit.pipelines.image_text import open_image_text
from genkit.rows.tree import is_picture
from genkit.verbs.change_pictures import Bar
from genkit.verbs.embed_pictures import embed_pictures
from genkit.verbs.own_pictures import Found, Source, find_pictures
from genkit.verbs.sample import usable_device

log = logging.getLogger("genkit")

_SIDE = 128  # px of a picture on the sheet


@dataclass(frozen=True)
class Request:
    """What is looked for, and where.

    Attributes:
        query: A text, or the file of a picture.
        images: Files, folders, patterns.
        model: A run, an export, a folder, a Hub id or the name of a published CLIP.
        count: How many pictures are wanted.
        grid: A sheet of them; None = none.
        device: Of the networks; None = a GPU if there is one.
    """

    query: str
    images: Sequence[str]
    model: str
    count: int = 10
    grid: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Hits:
    """What was found, the nearest first.

    Attributes:
        sources: The pictures.
        cosines: Of each with the query, in [-1, 1].
        among: How many pictures were compared.
        known: Of how many the vector was in the cache.
        failed: Why others were left out.
    """

    sources: list[Source]
    cosines: list[float]
    among: int
    known: int
    failed: dict[str, str]

    def to_tree(self) -> dict[str, Any]:
        """As JSON."""
        pairs = zip(self.sources, self.cosines, strict=True)
        return {
            "hits": [{"path": s.path, "cosine": round(c, 6)} for s, c in pairs],
            "among": self.among,
            "failed": self.failed,
        }


def search(request: Request, bar: Bar | None = None) -> Hits:
    """The pictures nearest to a text or a picture.

    Args:
        request: What to look for.
        bar: Makes something that is told how far the work is.

    Raises:
        PipelineError: It is no model of pictures and texts, or the query is empty.
        DataError: There are no pictures, or none that can be read.
        OutputError: The sheet would go over a picture.
    """
    if not request.query.strip():
        raise PipelineError("QUERY: an empty text finds nothing; say what to look for")
    place = Path(request.query)
    if place.is_dir() or (is_picture(request.query) and not place.is_file()):
        what = "a folder" if place.is_dir() else "no picture that is there"
        raise PipelineError(
            f"QUERY {shown(request.query)}: is {what}; the text or picture to look for comes "
            "first, and then where to look"
        )
    found = find_pictures(request.images)
    if request.grid is not None:
        read = [source.file for source in found.sources]
        check_output(request.grid, "--grid", inputs=read)
    pipeline = open_image_text(request.model, device=usable_device(request.device))
    with pipeline.generating():
        if not place.is_file() and pipeline.too_long([request.query]):
            log.warning("QUERY: longer than the %d tokens that are read", pipeline.context)
        wanted = _query(pipeline, request.query)
        embedded = embed_pictures(pipeline, found, bar)
    cosines = embedded.vectors @ wanted
    best = cosines.topk(min(request.count, len(cosines)))
    sources = [embedded.sources[i] for i in best.indices.tolist()]
    hits = Hits(sources, best.values.tolist(), len(cosines), embedded.known, embedded.failed)
    if request.grid is not None:
        _draw(hits, request.query, request.grid)
    return hits


def _query(pipeline: Any, query: str) -> Tensor:
    """(P,) of a text, or of a picture where a file of that name is there."""
    if is_picture(query) and Path(query).is_file():
        return embed_pictures(pipeline, Found(find_pictures([query]).sources)).vectors[0]
    vector: Tensor = pipeline.texts([query])[0]
    return vector


def _draw(hits: Hits, query: str, path: Path) -> None:
    """A sheet: the pictures from the nearest on, each with its cosine."""
    tiles = []
    for source in hits.sources:
        pixels = read_original(source.read(), source.where, 3).pixels
        tiles.append(((square(pixels[None] / 127.5 - 1, _SIDE) + 1) * 127.5).round().byte()[0])
    words = [f"{cosine:.3f}" for cosine in hits.cosines]
    lines = [
        sheets.Line(torch.stack(tiles[i : i + 5]), above=words[i : i + 5])
        for i in range(0, len(tiles), 5)
    ]
    write_whole(path, png_of(sheets.sheet(lines, title=query)))
