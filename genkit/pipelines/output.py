"""What a pipeline made, in the form that its caller wants.

Legend: B batch, N all of a call, C channels, H W height and width in px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from genkit.errors import PipelineError
from genkit.images import to_numpy, to_pil, to_uint8, to_unit
from genkit.rows.columns import Column, Columns, Image, Mask
from genkit.rows.drawn import joined

Output = Literal["pil", "tensor", "np"]
Images = list[Pillow.Image] | Tensor | NDArray[Any]


def check_output(output: Any) -> None:
    """Raise unless it is a form that images can take."""
    if output not in get_args(Output):
        raise PipelineError(f"output: {output!r} is no form; give one of pil, tensor, np")


def finite(images: Tensor) -> Tensor:
    """The images (B, C, H, W) themselves, or an error where some hold NaN or infinity."""
    bad = int((~images.isfinite().flatten(1).all(1)).sum())
    if bad:
        raise PipelineError(
            f"{bad} of {len(images)} images are not finite numbers: try precision=fp32, more steps "
            "or less guidance, or weights from an earlier checkpoint"
        )
    return images


def raw_values(column: Column, values: Tensor) -> Tensor:
    """What a pipeline made of B rows as rows hold it: pictures as uint8, on the CPU."""
    if isinstance(column, Image):
        return to_uint8(values).cpu()
    return values.round().to(torch.uint8).cpu() if isinstance(column, Mask) else values.cpu()


def in_form(made: Sequence[Mapping[str, Tensor]], gives: Columns, output: Output) -> Any:
    """What batches made: of the one column of a pipeline, or a dictionary where it has several.

    Args:
        made: Of each batch and column what B rows have; images (B, C, H, W) in [-1, 1].
        gives: The columns.
        output: "pil", "tensor" or "np"; what is no picture is a tensor with "pil" too.
    """
    found = {
        name: _in_form(column, [batch[name] for batch in made], output)
        for name, column in gives.items()
    }
    return found if len(found) > 1 else next(iter(found.values()))


def _in_form(column: Column, batches: Sequence[Tensor], output: Output) -> Any:
    values = joined(batches)
    if not isinstance(values, Tensor):  # pictures of several sizes
        return [_in_form(column, [value[None]], output)[0] for value in values]
    if not isinstance(column, Image):
        return values.numpy() if output == "np" else values
    if output == "tensor":
        return to_unit(values)
    pixels = to_uint8(values)
    return to_numpy(pixels) if output == "np" else [to_pil(image) for image in pixels]
