"""Pictures and masks that a pipeline begins with, read from files.

Legend: C channels, H W height and width in px.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from genkit.errors import DataError, PipelineError, shown
from genkit.images import decode, stack, to_mode
from genkit.rows.columns import Image


def read_image(path: Path | str, pipeline: Any) -> Tensor:
    """A picture of the size that the pipeline takes: (C, H, W) uint8.

    Raises:
        PipelineError: It can't be read, has another size, or the pipeline takes no picture.
    """
    column = picture_column(pipeline)
    return stack([to_mode(_read(Path(path), column.size), column.channels or 3)])[0]


def read_mask(path: Path | str, pipeline: Any) -> Tensor:
    """Where a mask is white, that is, where to make anew: (1, H, W) bool.

    Raises:
        PipelineError: It can't be read, has another size, is black or white everywhere, or does
            not say which where it is transparent; or the pipeline takes no picture.
    """
    picture = _read(Path(path), picture_column(pipeline).size)
    light = stack([to_mode(picture, 1)])[0]
    mask = light >= 128
    if not torch.equal(mask, stack([to_mode(_on_black(picture), 1)])[0] >= 128):
        raise PipelineError(
            f"{shown(path)}: this mask is transparent where it must say black or white; save it "
            "without transparency, white where to make anew and black where to keep"
        )
    if mask.all():
        raise PipelineError(
            f"{shown(path)}: this mask is white everywhere, so nothing would be kept; paint black "
            "what is to be kept, or give the picture as init, without a mask"
        )
    if not mask.any():
        top = int(light.max())
        what = "black everywhere" if top == 0 else f"nowhere white (at most {top} of 255)"
        raise PipelineError(
            f"{shown(path)}: this mask is {what}, so nothing would change; paint white (128 to "
            "255) what is to be made anew"
        )
    return mask


def _on_black(picture: Pillow.Image) -> Pillow.Image:
    """The picture with black behind what is transparent; itself where nothing can be."""
    if (
        picture.mode not in ("RGBA", "LA", "PA", "RGBa", "La")
        and "transparency" not in picture.info
    ):
        return picture
    layer = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
    black = Pillow.new("RGBA", layer.size, "black")
    black.alpha_composite(layer)
    return black


def picture_column(pipeline: Any) -> Image:
    """The column `image` that a pipeline takes.

    Raises:
        PipelineError: It takes none.
    """
    for taken in pipeline.takes:
        column = taken.get("image")
        if isinstance(column, Image):
            return column
    raise PipelineError(
        "init and inpaint: this generator makes images in one pass and can't begin with a "
        "picture; use an export of a diffusion model"
    )


def _read(path: Path, size: tuple[int, int] | None) -> Pillow.Image:
    wanted = "a picture" if size is None else f"a picture of {size[1]} x {size[0]} px"
    if not path.is_file():
        raise PipelineError(f"{path}: no such file; give {wanted}")
    try:
        picture = decode(path, str(path))
    except DataError as error:
        why = " ".join(str(error.__cause__ or error.__context__ or error).split())
        raise PipelineError(
            f"{path}: not a readable image ({why}); give a PNG or JPEG file, {wanted}"
        ) from None
    width, height = picture.size
    if size is not None and (height, width) != tuple(size):
        how = "resize" if width * size[0] == height * size[1] else "crop and resize"
        raise PipelineError(
            f"{path}: is {width} x {height} px, expected {size[1]} x {size[0]} px, the size of "
            f"this model's images; {how} it to that"
        )
    return picture
