"""Picture files as data URIs, with the size that a page shows them at."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_LARGEST_PX = 1600  # a longer side is shrunk, so that a page of many pictures stays light


@dataclass(frozen=True)
class Picture:
    """One picture inside a page: its bytes as a URI and its size in CSS pixels."""

    uri: str
    width: int
    height: int
    alt: str
    pixelated: bool  # enlarged by a whole factor: show the pixels, don't blur them


def load_picture(path: Path, alt: str, *, show_px: int) -> Picture | None:
    """The picture of a file, enlarged up to `show_px` wide; None if it can't be read."""
    try:
        with Image.open(path) as picture:
            picture.load()
            uri = _as_is(path, picture) or _shrunk(picture)
            width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    if max(width, height) > _LARGEST_PX:
        scale = _LARGEST_PX / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    times = max(1, min(4, show_px // width))
    return Picture(uri, width * times, height * times, alt, pixelated=times > 1)


def _as_is(path: Path, picture: Image.Image) -> str | None:
    if max(picture.size) > _LARGEST_PX or picture.format not in _TYPES:
        return None
    return _uri(path.read_bytes(), _TYPES[picture.format])


def _shrunk(picture: Image.Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((_LARGEST_PX, _LARGEST_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=90)
    return _uri(buffer.getvalue(), "image/jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
