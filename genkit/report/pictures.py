"""Picture files as data URIs, with the size that a page shows them at."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_LARGEST_PX = 1600  # a longer side is shrunk, so that a page of many pictures stays light
_LARGEST_BYTES = 8 << 20  # of a file; of a longer film the first picture is shown


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
            return as_picture(picture, alt, show_px=show_px, content=_content(path, picture))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def as_picture(
    picture: Image.Image, alt: str, *, show_px: int, content: bytes | None = None
) -> Picture:
    """A picture for a page.

    Args:
        picture: Any; what is larger than a screen is shrunk.
        alt: What it shows, in words.
        show_px: Enlarge it by a whole factor, at most four, up to this width.
        content: The bytes of its file, where they may stand in the page as they are.
    """
    width, height = picture.size
    if max(width, height) > _LARGEST_PX:
        scale = _LARGEST_PX / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        uri = _uri(_bytes(_shrunk(picture), "JPEG"), "image/jpeg")
    elif content is None:
        uri = _uri(_bytes(picture, "PNG"), "image/png")
    else:
        uri = _uri(content, _TYPES[str(picture.format)])
    times = max(1, min(4, show_px // width))
    return Picture(uri, width * times, height * times, alt, pixelated=times > 1)


def _content(path: Path, picture: Image.Image) -> bytes | None:
    if picture.format not in _TYPES or path.stat().st_size > _LARGEST_BYTES:
        return None
    return path.read_bytes()


def _shrunk(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail((_LARGEST_PX, _LARGEST_PX), Image.Resampling.LANCZOS)
    return small


def _bytes(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    kept = picture if form == "JPEG" or picture.mode in ("L", "RGB") else picture.convert("RGBA")
    kept.save(buffer, form, **({"quality": 90} if form == "JPEG" else {}))
    return buffer.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
