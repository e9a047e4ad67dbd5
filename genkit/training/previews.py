"""What a run shows while it trains: sheets of pictures, and how varied samples are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit import images
from genkit.errors import TrainingError
from genkit.files import write_whole
from genkit.training import checkpoints
from genkit.training.diversity import Numbers, Yardstick, worth_measuring
from genkit.training.overfit import OneBatch

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

SAMPLES = "samples"


@dataclass(frozen=True)
class Sheet:
    """Pictures side by side, written as one file.

    Attributes:
        images: (N, C, H, W) in [-1, 1].
        title: What they are, such as "before and after"; part of the file's name, except "samples".
        columns: Pictures in a row; None = as many as rows.
        labels: (N,) the classes that the pictures were asked for, or None.
        samples: Whether they are new pictures, to be as varied as the `image` of the batches: then
            the training doctor measures them. Of several such sheets it takes the first.
    """

    images: Tensor
    title: str = SAMPLES
    columns: int | None = None
    labels: Tensor | None = None
    samples: bool = True

    @property
    def png(self) -> bytes:
        """The pictures in a grid, as a file."""
        columns = self.columns or max(1, round(len(self.images) ** 0.5))
        return images.png_bytes(images.grid(images.to_uint8(self.images), columns))

    def file_name(self, step: int) -> str:
        """step-0000500.png of samples, step-0000500-before-and-after.png of others."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"step-{step:07d}.png" if words == SAMPLES else f"step-{step:07d}-{words}.png"


def classes_on_sheet(classes: int, count: int) -> tuple[Tensor, int | None]:
    """The labels of a sheet with one row for each class, and its columns.

    Of more classes than pictures there are as many as pictures, evenly spread, in no such rows.

    Args:
        classes: K.
        count: Pictures on the sheet, at most.

    Returns:
        (N,) int64 with N <= count, and N / K, or None where that is no whole number.
    """
    if classes > count:
        return torch.arange(count) * classes // count, None
    columns = count // classes
    return torch.arange(classes).repeat_interleave(columns), columns


def _refuse_one_name(sheets: Sequence[Sheet]) -> None:
    names = [sheet.file_name(0) for sheet in sheets]
    twice = next((sheet.title for sheet in sheets if names.count(sheet.file_name(0)) > 1), None)
    if twice is not None:
        raise TrainingError(f"preview: two sheets would be one file, {twice!r}; give other titles")


class Previews:
    """Writes the sheets of a run and measures the samples on them.

    Args:
        trainer: The run, with its loader.
    """

    def __init__(self, trainer: Trainer[Any]) -> None:
        self._trainer = trainer
        self._yardstick: Yardstick | None = None  # made with the first samples
        self._has_looked = False

    def write(self) -> Numbers:
        """Write `previews/step-*.png` of this step; returns how varied the samples are."""
        trainer = self._trainer
        if not trainer.accelerator.is_main_process:
            return {}
        folder = trainer.run_dir / "previews"
        with torch.no_grad(), checkpoints.explained(f"preview {folder}"):
            sheets = trainer.preview()
            _refuse_one_name(sheets)
            for sheet in sheets:
                write_whole(folder / sheet.file_name(trainer.steps_done), sheet.png)
            samples = next((sheet for sheet in sheets if sheet.samples), None)
            return {} if samples is None else self._measure(samples)

    def _measure(self, samples: Sheet) -> Numbers:
        if not self._has_looked:
            self._yardstick, self._has_looked = self._make_yardstick(), True
        if self._yardstick is None:
            return {}
        return self._yardstick.measure(samples.images, samples.labels)

    def _make_yardstick(self) -> Yardstick | None:
        """Images of the first step or steps, which samples are measured by; None without `image`,
        as of batches of latents.
        """
        trainer = self._trainer
        assert trainer.loader is not None
        one_batch = trainer.config.trainer.overfit_batch
        count = trainer.global_batch if one_batch else worth_measuring(trainer.data)
        size = trainer.config.data.batch_size
        steps = trainer.loader.steps(accumulation=max(1, count // size))
        batches = next(steps)
        steps.close()
        if "image" not in batches[0]:
            return None
        return (OneBatch if one_batch else Yardstick)(batches, trainer.classify)
