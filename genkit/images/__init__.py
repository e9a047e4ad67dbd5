"""Images as tensors, arrays, pictures and files: the one place where ranges and modes change.

Inside genkit an image is float32 in [-1, 1]; a pipeline gives [0, 1] tensors, uint8 arrays or PIL
pictures; on disk it is uint8. C is 1 or 3.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Condition
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from genkit.errors import DataError

# The endings of files that are read. Of those that Pillow knows, left out are what needs another
# program (.eps, .wmf), what holds no picture (.mpg, .iim, .h5, .grib) and endings that files of
# other kinds have too (.im, .fit, .ras, .bw, .rgb).
EXTENSIONS = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".avifs", ".gif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
        *(".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".tga", ".icb", ".vda", ".vst"),
        *(".ico", ".icns", ".pcx", ".psd", ".qoi", ".sgi", ".dds"),
    }
)
_NEVER = ("EPS", "WMF", "MPEG", "IPTC", "BUFR", "GRIB", "HDF5")  # whatever a file is called
Fit = Literal["crop", "pad", "stretch"]

REMEDY = "replace or delete it; a training leaves such files out with data.on_error=skip"
ROOM = 1 << 26  # pixels of decoded pictures that threads hold at once; a larger one is alone
_STRIP = 1 << 22  # pixels that are changed at once
_LYING = 5  # marks of orientation from here on exchange height and width
_PNG_MARKS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")  # what may hold such a mark

# What Pillow's decoders raise on damaged or hostile files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def to_float(images: Tensor) -> Tensor:
    """(..., C, H, W) uint8 -> float32 in [-1, 1]; 0 -> -1, 255 -> 1."""
    return images.to(torch.float32).mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """(..., C, H, W) float in [-1, 1], clipped -> uint8, to the nearest level."""
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """(..., C, H, W) float in [-1, 1], clipped -> float32 in [0, 1]."""
    return images.float().clamp(-1, 1).add(1).div(2)


def to_numpy(images: Tensor) -> NDArray[np.uint8]:
    """(B, C, H, W) uint8 tensor -> (B, H, W, C) uint8 array, as npz files hold them."""
    return np.ascontiguousarray(images.cpu().permute(0, 2, 3, 1).numpy())


def from_numpy(images: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, C) uint8 array -> (B, C, H, W) uint8 tensor."""
    return (
        torch.from_numpy(np.require(images, requirements=["C", "W"]))
        .permute(0, 3, 1, 2)
        .contiguous()
    )


def to_pil(image: Tensor) -> Image.Image:
    """One (C, H, W) uint8 tensor -> a grey (C = 1) or RGB picture."""
    array = image.cpu().permute(1, 2, 0).numpy()  # (H, W, C)
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def png_bytes(image: Tensor, text: Mapping[str, str] | None = None) -> bytes:
    """One (C, H, W) uint8 tensor as a PNG file, which may carry texts by keyword."""
    return png_of(to_pil(image), text)


def png_of(picture: Image.Image, text: Mapping[str, str] | None = None) -> bytes:
    """A picture as a PNG file, which may carry texts by keyword."""
    buffer, chunks = io.BytesIO(), PngInfo()
    for keyword, value in (text or {}).items():
        chunks.add_text(keyword, value)
    picture.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def grid(images: Tensor, columns: int, *, gap: int = 2, scale: int = 1) -> Tensor:
    """(B, C, H, W) uint8 -> one (C, h, w) uint8 sheet, row by row on white, `gap` px apart."""
    count, channels, height, width = images.shape
    lines = -(-count // columns)
    sheet = torch.full((channels, lines * (height + gap) + gap, columns * (width + gap) + gap), 255)
    sheet = sheet.to(torch.uint8)
    for i, image in enumerate(images.cpu()):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def size_of(content: bytes, where: str) -> tuple[int, int]:
    """(H, W) in px of a picture's file, upright as `decode` gives it, for the most part without
    decoding a pixel.

    Raises:
        DataError: It is broken at its beginning, or no image; `where` is named.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_known()) as picture:
            # Pillow looks for the mark behind a PNG's pixels, and decodes them on the way.
            may_lie = picture.format != "PNG" or any(mark in content for mark in _PNG_MARKS)
            lies = may_lie and picture.getexif().get(ExifTags.Base.Orientation, 1) >= _LYING
            width, height = picture.size
    except _DAMAGE as error:
        raise _unreadable(where, error) from None
    return (width, height) if lies else (height, width)


def decode(source: bytes | Path, where: str) -> Image.Image:
    """A picture from a file or its bytes, turned upright by its EXIF mark and fully read.

    Raises:
        DataError: It is broken, cut short, no image, or too large to be meant; `where` is named.
    """
    with decoding(source, where) as picture:
        return picture


@contextmanager
def decoding(source: bytes | Path, where: str) -> Iterator[Image.Image]:
    """Lend a picture as `decode` gives it; threads that have such pictures together stay within
    `ROOM`, so that eight of them don't hold eight huge ones.

    Raises:
        DataError: As `decode` does.
    """
    with ExitStack() as stack:
        try:
            upright = _upright(source, stack)
        except _DAMAGE as error:
            raise _unreadable(where, error) from None
        yield upright


def _unreadable(where: str, error: Exception) -> DataError:
    why = "of no kind that is read" if isinstance(error, UnidentifiedImageError) else error
    return DataError(f"{where}: not a readable image ({why}); {REMEDY}")


def _known() -> list[str]:
    Image.init()  # has Pillow know all of its formats
    return [name for name in Image.ID if name not in _NEVER]


def _upright(source: bytes | Path, stack: ExitStack) -> Image.Image:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with Image.open(file, formats=_known()) as picture:
        stack.enter_context(_room.of(picture.width * picture.height))
        picture.load()
        return ImageOps.exif_transpose(picture)


class _Room:
    """Pixels that threads hold at once: one huge picture, or some that fit together."""

    def __init__(self, pixels: int) -> None:
        self.free, self.all, self._changed = pixels, pixels, Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self.all)
        with self._changed:
            self._changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self.free += pixels
                self._changed.notify_all()


_room = _Room(ROOM)


def to_mode(picture: Image.Image, channels: int) -> Image.Image:
    """Any mode -> "L" (channels = 1) or "RGB": deep greys scaled to 8 bit, alpha laid on white."""
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith(("I", "F")):
        picture = _from_deep_grey(picture)
    # Pillow takes these to "RGBA" or "L" only by way of another mode.
    if stepping_stone := {"La": "LA", "LAB": "RGB"}.get(picture.mode):
        picture = picture.convert(stepping_stone)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in picture.info:
        return _by_strips(picture, mode, lambda strip: _on_white(strip).convert(mode))
    return picture if picture.mode == mode else picture.convert(mode)


def strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Parts of a picture from top to bottom, each with its first line, of a few megapixels: what
    needs several copies of a huge picture needs them of a part only.
    """
    if picture.width * picture.height <= _STRIP:
        yield 0, picture
        return
    lines = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, lines):
        yield top, picture.crop((0, top, picture.width, min(top + lines, picture.height)))


def _by_strips(
    picture: Image.Image, mode: str, change: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    if picture.width * picture.height <= _STRIP:
        return change(picture)
    whole = Image.new(mode, picture.size)
    for top, strip in strips(picture):
        whole.paste(change(strip), (0, top))
    return whole


def _on_white(picture: Image.Image) -> Image.Image:
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white


def _from_deep_grey(picture: Image.Image) -> Image.Image:
    """16- or 32-bit integers and floats -> "L"; the range is the mode's, or fits the values."""
    top = white_of(picture)
    return _by_strips(picture, "L", lambda strip: _scaled(_values(strip), top))


def white_of(picture: Image.Image) -> float:
    """The value of a deep grey picture that becomes white: the mode's, or what fits the values."""
    highest = max((_values(strip).max(initial=0) for _, strip in strips(picture)), default=0)
    if picture.mode.startswith("I;16") or highest > 255:
        return 65535.0
    return 1.0 if picture.mode == "F" and highest <= 1 else 255.0


def _values(picture: Image.Image) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(picture, dtype=np.float64))


def _scaled(array: NDArray[np.float64], top: float) -> Image.Image:
    return Image.fromarray(np.clip(array / top * 255, 0, 255).round().astype(np.uint8))


def to_size(picture: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Resized to (height, width) px: centre crop, padding in the corner's colour, or stretching."""
    if fit == "crop":
        picture = _cropped(picture, *size)
    elif fit == "pad":
        picture = _padded(picture, *size)
    if picture.size == size[::-1]:
        return picture
    return picture.resize(size[::-1], Image.Resampling.LANCZOS)


def middle_of(size: tuple[int, int], like: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) in px of the largest part in the middle of a picture whose sides
    are to each other as those of `like`.

    Args:
        size: (H, W) of the picture in px.
        like: (H, W) of what the part is for.
    """
    (h, w), (height, width) = size, like
    wide, high = min(w, max(1, h * width // height)), min(h, max(1, w * height // width))
    return (h - high) // 2, (w - wide) // 2, high, wide


def _cropped(picture: Image.Image, height: int, width: int) -> Image.Image:
    w, h = picture.size
    top, left, high, wide = middle_of((h, w), (height, width))
    whole = (wide, high) == (w, h)
    return picture if whole else picture.crop((left, top, left + wide, top + high))


def _padded(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The picture in the middle of a canvas whose sides are as height to width."""
    w, h = picture.size
    wide, high = max(w, -(-h * width // height)), max(h, -(-w * height // width))
    if (wide, high) == (w, h):
        return picture
    colour = picture.getpixel((0, 0))
    if wide * high > max(ROOM, 4 * w * h):  # of a thin strip, which is made small first
        w, h = max(1, round(w * width / wide)), max(1, round(h * height / high))
        wide, high = width, height
        picture = picture.resize((w, h), Image.Resampling.LANCZOS)
    canvas = Image.new(picture.mode, (wide, high), colour)
    canvas.paste(picture, ((wide - w) // 2, (high - h) // 2))
    return canvas


def to_array(picture: Image.Image, size: int | tuple[int, int], channels: int, fit: Fit) -> Tensor:
    """Any picture as configured: (C, H, W) uint8 for `size` (H, W), or one number for a square."""
    height, width = (size, size) if isinstance(size, int) else size
    fitted = to_size(to_mode(picture, channels), (height, width), fit)
    array = np.array(fitted, dtype=np.uint8).reshape(height, width, channels)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def stack(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size and mode ("L" or "RGB") -> (B, C, H, W) uint8."""
    arrays = [np.atleast_3d(np.array(p, dtype=np.uint8)) for p in pictures]
    return from_numpy(np.stack(arrays))
