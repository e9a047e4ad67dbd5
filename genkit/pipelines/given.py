"""What a call hands to a pipeline: which of the columns that it takes are given, and by what.

A pipeline lists alternatives, each a set of columns. The one is chosen that uses most of what is
given; classes that no one named are cycled through, other columns must be there or be optional.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from genkit.errors import DataError, PipelineError, shown
from genkit.rows.base import Rows, stacked
from genkit.rows.columns import (
    Class,
    Column,
    Columns,
    Draws,
    File,
    Flags,
    Image,
    Mask,
    Raw,
    Text,
)
from genkit.rows.combine import numbered_alike
from genkit.rows.given import Cycled, Field, cycle

log = logging.getLogger("genkit")

Takes = tuple[Columns, ...]
Part = tuple[Sequence[int], dict[str, Raw]]  # B indices, and the raw values of their rows
# Columns that a person may name; where a pipeline takes none of that name, it says so.
NAMES = (
    *("image", "label", "attributes", "caption", "image_a", "image_b", "source", "target"),
    *("mask", "landmarks", "negative", "style", "noise"),
)
# What diffusers' pipelines call it, and what to give here.
_DIFFUSERS = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "class_labels": "label",
    "prompt": "caption",
    "negative_prompt": "negative",
    "mask_image": "mask",
    "num_images_per_prompt": "the count, the first argument: pipeline(16)",
    "generator": "seed, a whole number from which each image has a generator of its own",
    "output_type": 'output: "pil", "tensor" or "np"',
    "return_dict": "left out: a call returns the images themselves",
    "callback": "an attribute: pipeline.on_step = function(done, steps)",
    "callback_on_step_end": "an attribute: pipeline.on_step = function(done, steps)",
}
SMALL = (Class, Flags, Text, File)  # kinds of columns that samples keep of what they were given


class Given(Cycled):
    """Rows that a call hands over: the columns that the pipeline takes, and others that pass by.

    Attributes:
        taken: Of the columns those that the pipeline takes, as it says what they are.
        cycles: Columns whose values come by hand or by default, not from rows.
        count: N of the longest column that was given; 1 if none was.
    """

    def __init__(
        self, fields: Mapping[str, Field], taken: Columns, cycles: Mapping[str, Cycled], count: int
    ) -> None:
        super().__init__("given", fields)
        self.taken = dict(taken)
        self.cycles = dict(cycles)
        self.count = count

    def alike(self, indices: Sequence[int], only: Collection[str]) -> Iterator[Part]:
        """Rows by index with their raw values, parted where pictures change their size."""
        raw = self.read(indices, only)
        for run in _runs([values for values in raw.values() if isinstance(values, list)]):
            yield indices[run], {name: _cut(values, run) for name, values in raw.items()}

    def batch(self, raw: Mapping[str, Raw], device: torch.device) -> dict[str, Any]:
        """Raw values of the columns taken as a network is given them.

        Raises:
            PipelineError: A picture has another size or other channels than the pipeline takes.
        """
        found = {}
        for name, column in self.taken.items():
            _check_shape(name, column, raw[name])
            values = column.batch(raw[name], Draws())
            found[name] = values.to(device) if isinstance(values, Tensor) else values
        return found

    def describe(self) -> dict[str, Any]:
        """What was given, as JSON: labels that are cycled through, and the identity of the rest."""
        labels = self.cycles.get("label")
        said: dict[str, Any] = {"labels": None if labels is None else _values(labels, "label")}
        rest = {
            name: _identity(self.cycles[name], name) if name in self.cycles else rows.fingerprint
            for name, (rows, _) in self.fields.items()
            if name in self.taken and not (name == "label" and labels is not None)
        }
        return said | ({"given": rest} if rest else {})


def class_of(pipeline: Any) -> Class | None:
    """The classes that a pipeline may be asked for as `label`; None where there are none."""
    columns = (taken.get("label") for taken in getattr(pipeline, "takes", ()))
    return next((column for column in columns if isinstance(column, Class)), None)


def split(takes: Takes, asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords of a call told apart: values of columns, and options."""
    columns = {*NAMES} | {name for taken in takes for name in taken}
    asked = renamed(asked)
    for name in asked.keys() - columns:
        if name in _DIFFUSERS:
            raise PipelineError(f"{name}: here that is {_DIFFUSERS[name]}")
    values = {name: value for name, value in asked.items() if name in columns}
    options = {name: value for name, value in asked.items() if name not in columns}
    return {name: value for name, value in values.items() if value is not None}, options


def renamed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords with `labels` as it is called now: `label`."""
    asked = dict(asked)
    labels = asked.pop("labels", None)
    if labels is not None:
        warnings.warn("labels= is called label= now", FutureWarning, stacklevel=5)
        asked["label"] = labels
    return asked


def given_rows(takes: Takes, rows: Rows | None, values: Mapping[str, Any]) -> Given:
    """The rows of a call.

    Args:
        takes: Alternatives of a pipeline.
        rows: Rows whose columns are given, or None.
        values: Columns given by hand, as `cycle` takes them; they go before those of `rows`.

    Raises:
        PipelineError: No alternative takes what is given, or a value is none of its column.
    """
    if isinstance(rows, Given) and not values:
        return rows
    held = {} if rows is None else _fields(rows)
    taken = _alternative(takes, {*values}, {*held})
    if taken is None and (other := _under_another_name(takes, held)) is not None:
        held[other] = held.pop("image")
        log.info("pictures are given as %r, which is what this pipeline takes", other)
        taken = _alternative(takes, {*values}, {*held})
    if taken is None:
        raise PipelineError(_misfit(takes, {*values}, {*held}))
    cycles = {name: _cycle(name, taken[name], value) for name, value in values.items()}
    count = max([len(each) for each in cycles.values()] + [len(r) for r, _ in held.values()] + [1])
    for name, column in taken.items():
        is_open = name not in values and name not in held and not column.optional
        if is_open and isinstance(column, Class):
            cycles[name] = _cycle(name, column, range(column.count))
    by_hand: dict[str, Field] = {name: (rows, name) for name, rows in cycles.items()}
    for name, column in taken.items():
        if name in held and name not in values:
            held[name] = _numbered_as_known(column, held[name])
            _check_column(name, column, held[name])
    fields = held | by_hand
    return Given(fields, {n: c for n, c in taken.items() if n in fields}, cycles, count)


def _fields(rows: Rows) -> dict[str, Field]:
    if isinstance(rows, Cycled):
        return dict(rows.fields)
    return {name: (rows, name) for name in rows.columns}


def _alternative(takes: Takes, values: set[str], held: set[str]) -> Columns | None:
    """That which uses most of what is given, the first of equals; None if none can."""
    there = values | held
    fitting = [taken for taken in takes if values <= taken.keys() and needed(taken) <= there]
    return max(fitting, key=lambda taken: len(taken.keys() & there), default=None)


def needed(taken: Columns) -> set[str]:
    """Names of the columns without which it can't be called."""
    return {n for n, c in taken.items() if not c.optional and not isinstance(c, Class)}


def _under_another_name(takes: Takes, held: Mapping[str, Field]) -> str | None:
    """The one picture that an alternative needs, where rows hold one that is called `image`."""
    if "image" not in held:
        return None
    for taken in takes:
        lacking = needed(taken) - held.keys()
        if len(lacking) == 1 and isinstance(taken[name := lacking.pop()], Image):
            return name
    return None


def _misfit(takes: Takes, values: set[str], held: set[str]) -> str:
    """What is wrong where no alternative fits, and what to do."""
    known = {name for taken in takes for name in taken}
    shown = " or ".join(_listed(taken) for taken in takes)
    if strange := sorted(values - known):
        name = strange[0]
        what = "knows no classes" if name == "label" else f"takes no {name}"
        return f"{name}: this pipeline {what}; leave {name} out (it takes {shown})"
    fitting = [taken for taken in takes if values <= taken.keys()]
    if not fitting:
        return f"{', '.join(sorted(values))}: not taken together; this pipeline takes {shown}"
    without = [sorted(needed(taken) - values - held) for taken in fitting]
    lacking = min(without, key=len)[0]
    if values:
        return f"{sorted(values)[0]}: given without {lacking}; this pipeline takes {shown}"
    there = f"; the rows given hold {', '.join(sorted(held))}" if held else ""
    how = f"give {lacking}= or rows that hold it (--given)"
    return f"{lacking}: this pipeline takes {shown}{there}; {how}"


def _listed(taken: Columns) -> str:
    names = [f"{name}?" if column.optional else name for name, column in taken.items()]
    return f"({', '.join(names)})" if names else "nothing"


def _cycle(name: str, column: Column, value: Any) -> Cycled:
    try:
        return cycle("given", {name: column}, **{name: value})
    except DataError as error:
        raise PipelineError(str(error)) from None


def _numbered_as_known(column: Column, field: Field) -> Field:
    """The same classes with the numbers that they have for the pipeline, by their names."""
    rows, named = field
    if not isinstance(column, Class) or named != "label":
        return field
    names, known = rows.class_names or (), column.names
    if known is None and names and all(name.isdecimal() for name in names):
        known = tuple(str(i) for i in range(column.count))
    if not names or known is None:
        return field
    like = cycle("classes", {"label": Class(len(known), known)}, label=0)
    return numbered_alike(rows, like), named


def _check_column(name: str, column: Column, field: Field) -> None:
    """Raise where rows hold something else under a name than the pipeline takes."""
    rows, named = field
    held = rows.columns[named]
    if type(held) is not type(column):
        raise PipelineError(
            f"{name}: {rows.name} holds a {held.kind}, this pipeline takes a {column.kind}"
        )
    if isinstance(column, Class) and isinstance(held, Class) and held.count > column.count:
        raise PipelineError(
            f"{name}: {rows.name} has {held.count} classes, this pipeline knows {column.count}"
        )
    if isinstance(column, Flags) and isinstance(held, Flags) and held.names != column.names:
        raise PipelineError(
            f"{name}: {rows.name} has {shown(', '.join(held.names))}; this model knows "
            f"{shown(', '.join(column.names))}, in this order: give rows with these"
            + (f", or leave {name} out" if column.optional else "")
        )


def _check_shape(name: str, column: Column, raw: Raw) -> None:
    """Raise where pictures are of another size or other channels than the pipeline takes."""
    if not isinstance(column, Image | Mask) or not isinstance(raw, Tensor):
        return
    channels, height, width = raw.shape[1:]
    if column.size is not None and (height, width) != tuple(column.size):
        high, wide = column.size
        raise PipelineError(
            f"{name}: is {width} x {height} px, expected {wide} x {high} px, the size of this "
            "model's images; crop or resize it to that"
        )
    if isinstance(column, Image) and column.channels not in (None, channels):
        raise PipelineError(
            f"{name}: has {channels} channels, this model takes {column.channels}; "
            "give pictures of those"
        )


# -- parts -----------------------------------------------------------------------------------------


def _runs(uneven: Sequence[Sequence[Any]]) -> list[slice]:
    """Slices of rows within which no picture changes its size; all of them where all agree."""
    pictures = [values for values in uneven if isinstance(values[0], Tensor)]
    if not pictures:
        return [slice(None)]
    shapes = [tuple(values[i].shape for values in pictures) for i in range(len(pictures[0]))]
    ends = [i for i, (a, b) in enumerate(pairwise(shapes), start=1) if a != b]
    return [slice(a, b) for a, b in pairwise([0, *ends, len(shapes)])]


def _cut(values: Raw, run: slice) -> Raw:
    return values[run] if isinstance(values, Tensor) else stacked(values[run])


# -- identity --------------------------------------------------------------------------------------


def _values(rows: Cycled, name: str) -> list[Any]:
    values = rows.read(range(len(rows)))[name]
    return values.tolist() if isinstance(values, Tensor) else list(values)


def _identity(rows: Cycled, name: str) -> Any:
    """Numbers and texts themselves; of pictures SHA-256 over their pixels."""
    column, values = rows.columns[name], rows.read(range(len(rows)))[name]
    if not isinstance(values, Tensor) or not isinstance(column, Image | Mask):
        return _values(rows, name) if isinstance(column, Class | Text) else rows.fingerprint
    pixels = values * 255 if isinstance(column, Mask) else values  # white, as a picture has it
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
