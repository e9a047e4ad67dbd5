"""Variants of one picture, wholly or partly made anew: image to image and inpainting.

Variant i of a seed begins with the noise of image i, so it is the same in any batch, whatever the
count. `Variants` stands where samples are written in place of its pipeline.

Legend: B batch, C channels, S image side in px.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genkit.errors import DataError, PipelineError
from genkit.images import decode, stack, to_mode, to_uint8
from genkit.pipelines.base import parts


def read_image(path: Path | str, pipeline: Any) -> Tensor:
    """A picture of the size that the model makes: (C, S, S) uint8.

    Raises:
        PipelineError: It can't be read, or has another size.
    """
    channels = pipeline.facts["channels"]
    return stack([to_mode(_read(Path(path), pipeline.facts["image_size"]), channels)])[0]


def read_mask(path: Path | str, pipeline: Any) -> Tensor:
    """Where a mask is white, that is, where to make anew: (1, S, S) bool.

    Raises:
        PipelineError: It can't be read, has another size, or is black everywhere.
    """
    picture = to_mode(_read(Path(path), pipeline.facts["image_size"]), 1)
    mask = stack([picture])[0] >= 128
    if not mask.any():
        raise PipelineError(
            f"{path}: this mask is black everywhere, so nothing would change; paint white what is "
            "to be made anew"
        )
    return mask


def check_editable(pipeline: Any) -> None:
    """Raise unless the pipeline can begin with a picture."""
    if not hasattr(pipeline, "edit"):
        raise PipelineError(
            "init and inpaint: this generator makes images in one pass and can't begin with a "
            "picture; use an export of a diffusion model"
        )


class Variants:
    """Variants of one picture by index, as `write_samples` takes them.

    Args:
        pipeline: A `Denoising`.
        image: (C, S, S) uint8, see `read_image`.
        strength: In (0, 1]: how much of the way is gone anew.
        mask: (1, S, S) bool, True = make anew, see `read_mask`; None = all of it.
    """

    def __init__(
        self, pipeline: Any, image: Tensor, *, strength: float = 0.6, mask: Tensor | None = None
    ) -> None:
        check_editable(pipeline)
        self.pipeline = pipeline
        self.image = image
        self._unit = image[None].float() / 255  # (1, C, S, S) in [0, 1]
        self._strength = strength
        self._mask = None if mask is None else mask[None].float()
        pipeline.check_edit(self._unit, strength, self._mask)

    @property
    def facts(self) -> Mapping[str, Any]:
        """As of the pipeline."""
        facts: Mapping[str, Any] = self.pipeline.facts
        return facts

    @property
    def components(self) -> Mapping[str, Any]:
        """As of the pipeline."""
        components: Mapping[str, Any] = self.pipeline.components
        return components

    @property
    def on_step(self) -> Callable[[int, int], None] | None:
        """As of the pipeline."""
        called: Callable[[int, int], None] | None = self.pipeline.on_step
        return called

    @on_step.setter
    def on_step(self, called: Callable[[int, int], None] | None) -> None:
        self.pipeline.on_step = called

    def label_cycle(self, labels: int | Sequence[int] | None) -> list[int] | None:
        """As of the pipeline."""
        cycle: list[int] | None = self.pipeline.label_cycle(labels)
        return cycle

    def sampling(self, **options: Any) -> Any:
        """As of the pipeline."""
        return self.pipeline.sampling(**options)

    def describe(self, sampling: Any) -> Mapping[str, Any]:
        """What makes these variants what they are, as JSON."""
        edit = {
            "image": _sha256(self._unit),
            "mask": None if self._mask is None else _sha256(self._mask),
            "strength": self._strength,
        }
        return {**self.pipeline.describe(sampling), "edit": edit}

    def stream(
        self,
        indices: Sequence[int],
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
        **options: Any,
    ) -> Iterator[tuple[Sequence[int], Tensor, Tensor | None]]:
        """Variants by index, a batch at a time: (indices, uint8 (B, C, S, S), labels or None)."""
        for part in parts(indices, batch_size):
            made = self.pipeline.edit(
                self._unit.expand(len(part), -1, -1, -1),
                strength=self._strength,
                mask=self._mask,
                indices=part,
                seed=seed,
                labels=labels,
                batch_size=len(part),
                output="tensor",
                **options,
            )
            yield part, to_uint8(made * 2 - 1), self.pipeline.labels_of(part, labels)


def _read(path: Path, side: int) -> Image.Image:
    if not path.is_file():
        raise PipelineError(f"{path}: no such file; give a picture of {side} x {side} px")
    try:
        picture = decode(path, str(path))
    except DataError as error:
        why = " ".join(str(error.__cause__ or error.__context__ or error).split())
        raise PipelineError(
            f"{path}: not a readable image ({why}); give a PNG or JPEG file of {side} x {side} px"
        ) from None
    if picture.size != (side, side):
        width, height = picture.size
        how = "resize" if width == height else "crop and resize"
        raise PipelineError(
            f"{path}: is {width} x {height} px, expected {side} x {side} px, the size of this "
            f"model's images; {how} it to that"
        )
    return picture


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.mul(255).round().to(torch.uint8).numpy().tobytes()).hexdigest()
