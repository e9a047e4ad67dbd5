"""A person's own picture with all that it keeps when its pixels change: size, transparency, colour
profile; and the way back into a file.

Pixels are what training sees of the same file: turned upright by the EXIF mark, deep greys scaled
to 8 bit, transparency laid on white. What can't be kept is said in a note.

Legend: C channels, H W height and width in px.
"""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from genkit.errors import DataError
from genkit.images import decoding, stack, to_mode, to_pil

_GREY = ("1", "L", "LA", "La", "I", "F")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_SPACES = {b"RGB ": "RGB", b"GRAY": "L"}  # what an ICC profile says in bytes 16 to 20
_ORIENTATION = 0x0112
_VIDEO = (b"ftyp", b"moov", b"mdat")  # bytes 4 to 8 of MP4 and QuickTime files
_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # of these the ones with pictures
_OTHER_VIDEO = (b"\x1aE\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")


@dataclass(frozen=True)
class Original:
    """A picture as it was found.

    Attributes:
        pixels: (C, H, W) uint8, upright.
        alpha: (H, W) uint8, or None where nothing can be transparent.
        profile: Its ICC profile, or None.
        notes: What of the file is not kept, in words.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[1], self.pixels.shape[2]


def read_original(content: bytes, where: str, channels: int | None = None) -> Original:
    """A picture file with what is to be kept of it.

    Args:
        content: The file.
        where: What messages call it.
        channels: C, 1 or 3; None = 1 for a grey picture, 3 for others.

    Raises:
        DataError: It is broken, a film, or no picture.
    """
    _refuse_films(content, where)
    with decoding(content, where) as picture:
        grey = picture.mode in _GREY or picture.mode.startswith("I;16")
        wanted = channels or (1 if grey else 3)
        try:
            pixels = stack([to_mode(picture, wanted)])[0]
        except ValueError as error:  # a colour space that Pillow knows but can't convert
            raise DataError(f"{where}: {error}; save it as RGB") from None
        alpha, lost = _alpha_of(picture)
        profile = picture.info.get("icc_profile") or None
    notes = [*_facts(content), *lost]
    if wanted == 3 and grey:
        notes.append("it is grey, and this model makes pictures in colour")
    if wanted == 1 and not grey:
        notes.append("its colours were left out: this model takes grey pictures")
    return Original(pixels, alpha, profile, tuple(notes))


def written(original: Original, made: Tensor) -> tuple[bytes, tuple[str, ...]]:
    """A changed picture as a PNG file with the transparency and profile of the original, and notes
    of what was left out.

    Args:
        original: Where it comes from.
        made: (C, H, W) uint8, of the original's size.
    """
    picture, notes = to_pil(made), []
    if original.alpha is not None:
        picture.putalpha(to_pil(original.alpha[None]))
    rest: dict[str, Any] = {}
    if original.profile is not None:
        space = original.profile[16:20]
        if _SPACES.get(space) == ("L" if made.shape[0] == 1 else "RGB"):
            rest["icc_profile"] = original.profile
        else:
            name = space.decode("latin-1").strip() or "an unknown space"
            notes.append(f"its colour profile is for {name} and was left out")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", **rest)
    return buffer.getvalue(), tuple(notes)


def _alpha_of(picture: Pillow.Image) -> tuple[Tensor | None, list[str]]:
    """How opaque each pixel is, (H, W) uint8; and what is to be said where that can't be kept."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return None, []
    if picture.mode.startswith("I"):
        return None, ["its transparency was left out: it is one deep grey"]
    layer = picture.convert("LA") if picture.mode == "La" else picture
    alpha = np.array(layer.convert("RGBA").getchannel("A"))
    return torch.from_numpy(alpha), []


def _facts(content: bytes) -> list[str]:
    """What a file holds beyond one picture of 8 bits."""
    notes = []
    with (
        suppress(Exception),
        warnings.catch_warnings(),
        Pillow.open(io.BytesIO(content)) as file,
    ):
        warnings.simplefilter("ignore")
        frames = getattr(file, "n_frames", 1)
        if frames > 1 and file.format != "MPO":  # whose further pictures are previews
            notes.append(f"the first of its {frames} pictures was taken")
        if file.mode.startswith(("I", "F")) or ";16" in str(getattr(file, "tile", "")):
            notes.append("it has more than 8 bits for each channel, and 8 were kept")
        if file.getexif().get(_ORIENTATION, 1) != 1:
            notes.append("it was turned upright, as its EXIF mark says; the copy needs none")
    return notes


def _refuse_films(content: bytes, where: str) -> None:
    head = content[:16]
    boxed = head[4:8] in _VIDEO and head[8:12] not in _STILL
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if boxed or riff or head.startswith(_OTHER_VIDEO):
        raise DataError(f"{where}: a film, not a picture; save the frames that you want as PNG")
