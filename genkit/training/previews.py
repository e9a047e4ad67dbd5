"""What a run shows while it trains: sheets of pictures, and how varied samples are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit import images
from genkit.errors import TrainingError
from genkit.files import write_whole
from genkit.images import png_of, sheets
from genkit.training import checkpoints
from genkit.training.diversity import Numbers, Yardstick, worth_measuring
from genkit.training.overfit import OneBatch

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

SAMPLES = "samples"
_LEAST = 24  # px; smaller pictures are enlarged by a whole factor, so that names fit beside them


@dataclass(frozen=True)
class Sheet:
    """Pictures side by side, written as one file.

    Attributes:
        images: (N, C, H, W) in [-1, 1].
        title: What they are, such as "before and after"; part of the file's name, except "samples".
        columns: Pictures in a row; None = as many as rows, or all of a class.
        labels: (N,) the classes that the pictures were asked for, or None; each begins a row.
        texts: The N texts that they were asked for, or none; each begins a row.
        samples: Whether they are new pictures, to be as varied as the `image` of the batches: then
            the training doctor measures them. Of several such sheets it takes the first.
        numbers: What is to be logged of them, such as those of `translation_monitor.py`.
    """

    images: Tensor
    title: str = SAMPLES
    columns: int | None = None
    labels: Tensor | None = None
    texts: Sequence[str] = ()
    samples: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)

    def png(self, names: Sequence[str] | None = None) -> bytes:
        """The pictures in rows as a file, with their classes or texts beside them.

        Args:
            names: Of all classes; None = they have none.
        """
        labels = None if self.labels is None else self.labels.tolist()
        words = labels and [sheets.word_for(label, names) for label in labels]
        words = words or [sheets.in_lines(text) for text in self.texts] or None
        lines = sheets.lines_of(images.to_uint8(self.images), self.columns, words)
        scale = max(1, -(-_LEAST // self.images.shape[-2]))
        return png_of(sheets.sheet(lines, scale=scale))

    def file_name(self, step: int) -> str:
        """step-0000500.png of samples, step-0000500-before-and-after.png of others."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"step-{step:07d}.png" if words == SAMPLES else f"step-{step:07d}-{words}.png"


def classes_on_sheet(classes: int, count: int) -> tuple[Tensor, int | None]:
    """The labels of a sheet with rows for each class, and its columns.

    Where there are few classes each has several rows, so that the sheet is about square. Of more
    classes than pictures there are as many as pictures, evenly spread, in no such rows.

    Args:
        classes: K.
        count: Pictures on the sheet, at most.

    Returns:
        (N,) int64 with N <= count, sorted, and the pictures in a row; None where classes have one
        each.
    """
    if classes > count:
        return torch.arange(count) * classes // count, None
    each = count // classes
    rows = max(1, round((each / classes) ** 0.5))
    return torch.arange(classes).repeat_interleave(each), -(-each // rows)


def _refuse_one_name(shown: Sequence[Sheet]) -> None:
    names = [sheet.file_name(0) for sheet in shown]
    twice = next((sheet.title for sheet in shown if names.count(sheet.file_name(0)) > 1), None)
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
        """Write `previews/step-*.png` of this step; returns the numbers of sheets, and how varied
        the samples are."""
        trainer = self._trainer
        if not trainer.accelerator.is_main_process:
            return {}
        folder = trainer.run_dir / "previews"
        with torch.no_grad(), checkpoints.explained(f"preview {folder}"):
            shown = trainer.preview()
            _refuse_one_name(shown)
            for sheet in shown:
                content = sheet.png(trainer.data.class_names)
                write_whole(folder / sheet.file_name(trainer.steps_done), content)
            samples = next((sheet for sheet in shown if sheet.samples), None)
            known = {name: value for sheet in shown for name, value in sheet.numbers.items()}
            return known if samples is None else known | self._measure(samples)

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
