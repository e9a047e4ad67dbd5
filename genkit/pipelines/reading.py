"""Pictures and masks that a pipeline begins with, read from files.

Legend: C channels, H W height and width in px.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from torch import Tensor

from genkit.errors import DataError, PipelineError
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
        PipelineError: It can't be read, has another size, is black everywhere, or the pipeline
            takes no picture.
    """
    picture = to_mode(_read(Path(path), picture_column(pipeline).size), 1)
    mask = stack([picture])[0] >= 128
    if not mask.any():
        raise PipelineError(
            f"{path}: this mask is black everywhere, so nothing would change; paint white what is "
            "to be made anew"
        )
    return mask


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
