"""What every pipeline has: rows by index, in batches, in any form, from what it is given.

Row i of seed s is a function of (s, i), what row i is given and the weights: the same in any batch,
in any order, on any number of processes (noise bit by bit; pixels within 1/255 in fp32, a few in
bf16).

Legend: B batch, N rows asked for, C channels, H W height and width in px, K classes.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor, nn

from genkit.errors import PipelineError, shown
from genkit.files import write_whole
from genkit.machine import ran_out_of_memory
from genkit.nn.network import complete
from genkit.pipelines.card import Card, card_of
from genkit.pipelines.given import SMALL, Given, Takes, given_rows, split
from genkit.pipelines.output import Output, check_output, finite, in_form, raw_values
from genkit.rows.base import Rows
from genkit.rows.columns import Class, Columns, Image, Raw

complete()  # diffusers asks the networks of an export for their bases when it loads one itself

MOST_CLASSES = 1_000_000
FORMAT_VERSION = 1  # of the export folder; raised when an older genkit could not read it


class Pipeline(DiffusionPipeline):
    """Rows from rows: what it takes, what it gives, and how one becomes the other.

    A pipeline writes `takes`, `gives` and `generate`; `begin` where its rows begin with something,
    and `options`, `describe` and `card` where it has more to say than here.

    Attributes:
        in_steps: Whether its rows come about step by step; then it has `compile`, `trajectory` and
            `choices`, and calls `on_step`.
        on_step: Called as on_step(done, steps) while a batch is made.
    """

    in_steps: ClassVar[bool] = False
    on_step: Callable[[int, int], None] | None = None

    # -- what a pipeline writes --------------------------------------------------------------------

    @property
    @abstractmethod
    def takes(self) -> Takes:
        """Alternatives of what it is given, the first the default; {} = nothing.

        Classes that no one names are cycled through. A column may be optional; a picture whose
        `size` is None may have any.
        """

    @property
    @abstractmethod
    def gives(self) -> Columns:
        """The columns that it makes."""

    def options(self, **asked: Any) -> Any:
        """Options of a call, checked and completed; None where there are none.

        Raises:
            PipelineError: An option is unknown, out of range, or does not fit the model.
        """
        if asked:
            raise PipelineError(f"{min(asked)}: this pipeline takes no such option; leave it out")

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Any:
        """What B rows begin with, such as noise keyed by (seed, index); None = nothing.

        Args:
            indices: Of the rows.
            seed: Names the noise of all indices.
            given: What the rows are given, as `generate` has it.
            options: As `options` completed them.
        """
        return None

    @abstractmethod
    def generate(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """One batch of what it gives, by column; pictures (B, C, H, W) in [-1, 1].

        It is called without gradients and with every network in evaluation mode.

        Args:
            begun: As `begin` made it.
            given: What it takes, by column, as in training: pictures (B, C, H, W) in [-1, 1],
                classes (B,) int64, texts a list; tensors are on the pipeline's device.
            options: As `options` completed them.
        """

    def describe(self, options: Any, taken: Collection[str]) -> Mapping[str, Any]:
        """What beside weights, seed and what is given makes its rows what they are, as JSON.

        Args:
            options: As `options` completed them.
            taken: Names of the columns that the rows are given.
        """
        return {}

    def card(self) -> Card:
        """What its model card says: an example call, tags, facts, how it runs without genkit."""
        return card_of(self.takes, self.gives)

    # -- what people call --------------------------------------------------------------------------

    def __call__(
        self,
        count: int | None = None,
        *,
        seed: int = 0,
        given: Rows | None = None,
        batch_size: int | None = None,
        output: Output = "pil",
        **asked: Any,
    ) -> Any:
        """Rows 0..count-1 of a seed: of the one column that it gives, or a dictionary of several.

        Args:
            count: N; None = as many as are given, 1 if nothing is.
            seed: Names the noise; row i of a seed stays the same whatever N is.
            given: Rows that hold columns it takes; repeated in turn where they are fewer than N.
            batch_size: Rows made at a time, 64 by default; changes memory and speed only.
            output: "pil" a list of pictures; "tensor" (N, C, H, W) float32 in [0, 1] on the CPU;
                "np" (N, H, W, C) uint8.
            asked: Columns that it takes, one value or several that are repeated in turn, such as
                label=[0, 1] or label=["cat", "dog"], image=picture; and what `options` takes.
        """
        rows, options = self.asked(given, **asked)
        if count is None:
            count = 1 if "labels" in asked else rows.count
            if count == 1 and given is None and batch_size is not None and batch_size > 1:
                raise PipelineError(
                    f"batch_size: is how many are made at a time; for {batch_size} images give "
                    f"their count: pipeline({batch_size})"
                )
        if count < 1:
            raise PipelineError(f"count: must be at least 1, got {count}")
        check_output(output)
        size = 64 if batch_size is None else batch_size
        made = [
            {name: values.cpu() for name, values in batch.items()}
            for _, _, batch in self._batches(range(count), seed, rows, size, options)
        ]
        return in_form(made, self.gives, output)

    def stream(
        self,
        indices: Sequence[int],
        *,
        seed: int = 0,
        given: Rows | None = None,
        batch_size: int = 64,
        **asked: Any,
    ) -> Iterator[tuple[Sequence[int], dict[str, Raw]]]:
        """Rows by index, a batch at a time: indices (B,), and raw values by column.

        Beside what it makes, pictures as uint8 (B, C, H, W), there are the classes, flags, texts
        and files that the rows were given. Tensors are on the CPU; memory does not grow with the
        number of indices.
        """
        rows, options = self.asked(given, **asked)
        for part, raw, made in self._batches(indices, seed, rows, batch_size, options):
            values = {name: raw_values(self.gives[name], each) for name, each in made.items()}
            yield part, {**{name: raw[name] for name in self.held(rows)}, **values}

    def asked(self, given: Rows | None = None, **asked: Any) -> tuple[Given, Any]:
        """What a call hands over as rows, and its options checked and completed.

        Args:
            given: As in a call.
            asked: As in a call.
        """
        values, options = split(self.takes, asked)
        return given_rows(self.takes, given, values), self.options(**options)

    def held(self, rows: Given) -> Columns:
        """Columns of what is given that rows made of it keep: what is no picture, by its name."""
        kept = {n: rows.taken.get(n, c) for n, c in rows.columns.items() if n not in self.gives}
        return {n: c for n, c in kept.items() if isinstance(c, SMALL)}

    def compile(self) -> None:
        """Sample through `torch.compile` from now on: the first batch of each size takes longer."""
        raise PipelineError(
            "compile: this generator makes images in one pass, which is not worth compiling; "
            "leave it out"
        )

    # -- how ---------------------------------------------------------------------------------------

    def _batches(
        self, indices: Sequence[int], seed: int, rows: Given, batch_size: int, options: Any
    ) -> Iterator[tuple[Sequence[int], dict[str, Raw], dict[str, Tensor]]]:
        """A batch at a time: its indices, what it was given, and what was made of it."""
        only = {*rows.taken, *self.held(rows)}
        for part in parts(indices, batch_size):
            for some, raw in rows.alike(part, only):
                with fitting(len(some), self.device):
                    given = rows.batch(raw, self.device)
                    begun = self.begin(some, seed, given, options)
                    made = self._made(begun, given, options)
                yield some, raw, made

    def _made(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """What `generate` makes, pictures checked to be finite."""
        with self.generating():
            made = self.generate(begun, given, options)
        for name, column in self.gives.items():
            if isinstance(column, Image):
                finite(made[name])
        return made

    @contextmanager
    def generating(self) -> Iterator[None]:
        """No gradients and every network in evaluation mode."""
        networks = [each for each in self.components.values() if isinstance(each, nn.Module)]
        with torch.no_grad(), ExitStack() as stack:
            for network in networks:
                stack.enter_context(evaluating(network))
            yield

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers does; a pipeline of another package is named with its module."""
        if options.get("push_to_hub"):
            raise PipelineError(
                "push_to_hub: save the pipeline to a folder first, then send that: "
                "`genkit export RUN --push NAME/MODEL`, or genkit.pipelines.push(folder, name)"
            )
        super().save_pretrained(save_directory, **options)
        kind = type(self)
        if not kind.__module__.startswith("genkit.pipelines."):
            index = Path(save_directory) / "model_index.json"
            tree = json.loads(index.read_text()) | {"_class_name": [kind.__module__, kind.__name__]}
            write_whole(index, json.dumps(tree, indent=2) + "\n")


def parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Indices in batches of a size, the last one with what is left."""
    if size < 1:
        raise PipelineError(f"batch_size: must be at least 1, got {size}")
    return (indices[start : start + size] for start in range(0, len(indices), size))


def class_column(num_classes: Any, names: Any) -> Columns:
    """The column `label` of K classes and their names, or no column without classes.

    Raises:
        PipelineError: K and the names don't fit each other.
    """
    if num_classes is None:
        if names is not None:
            raise PipelineError("class_names: there are no classes; set num_classes too")
        return {}
    if not isinstance(num_classes, int) or num_classes < 1:
        raise PipelineError(f"num_classes: must be a whole number from 1 on, got {num_classes!r}")
    if num_classes > MOST_CLASSES:
        raise PipelineError(f"num_classes: at most {MOST_CLASSES:,}, got {num_classes:,}")
    if names is not None and (not isinstance(names, list | tuple) or len(names) != num_classes):
        raise PipelineError(f"class_names: expected {num_classes} names, got {shown(names)}")
    return {"label": Class(num_classes, None if names is None else tuple(names))}


@contextmanager
def fitting(count: int, device: torch.device) -> Iterator[None]:
    """Where memory ends, on a GPU or not, the error says how many rows there were at a time."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise PipelineError(
            f"batch_size: {count} images at a time don't fit the memory of {device}; give a "
            "smaller one"
        ) from None


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, since batch norm must not see who else is in the batch."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
