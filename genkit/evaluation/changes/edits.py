"""Edits as rows: which row, which attribute, on or off; drawn by a pipeline when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from genkit.errors import EvaluationError
from genkit.evaluation.sets import pictures
from genkit.evaluation.task import Asked, made, picture_of
from genkit.rows.base import Indices, Rows, stacked
from genkit.rows.columns import Flags, Image, Raw
from genkit.rows.combine import Wrapped
from genkit.rows.drawn import DrawnRows


@dataclass(frozen=True)
class Edit:
    """One edit of one row.

    Attributes:
        row: Which row.
        name: The attribute.
        on: Whether it is to hold.
    """

    row: int
    name: str
    on: bool

    @property
    def words(self) -> str:
        """Such as "+Smiling" or "-Smiling"."""
        return f"{'+' if self.on else '-'}{self.name}"


def flags_of(pipeline: Any) -> Flags:
    """The attributes that a pipeline edits, as it takes them.

    Raises:
        EvaluationError: It takes none.
    """
    for columns in pipeline.takes:
        for column in columns.values():
            if isinstance(column, Flags):
                return column
    raise EvaluationError(
        f"a {type(pipeline).__name__} takes no attributes: task editing measures models that "
        "change attributes of pictures"
    )


class Given(Wrapped):
    """Rows with a picture and the attributes that a pipeline takes, in its order.

    Args:
        rows: Any.
        flags: The attributes that the pipeline takes.
        image: The column of pictures.
        attributes: The column of attributes.

    Raises:
        EvaluationError: There are no attributes, or some of those taken are missing.
    """

    def __init__(
        self, rows: Rows, flags: Flags, image: str = "image", attributes: str = "attributes"
    ) -> None:
        held = rows.columns.get(attributes)
        if not isinstance(held, Flags):
            raise EvaluationError(
                f"{rows.name}: no column {attributes!r} that says which attributes pictures have; "
                "give data that has them, as a run of a model that edits attributes does"
            )
        if missing := [name for name in flags.names if name not in held.names]:
            raise EvaluationError(
                f"{rows.name}: no attribute {', '.join(missing)}; the model edits "
                f"{', '.join(flags.names)}, and the data has {', '.join(held.names)}"
            )
        super().__init__(rows, {"image": rows.columns[image], "attributes": flags})
        self.old = {"image": image, "attributes": attributes}
        self.places = [held.names.index(name) for name in flags.names]

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column."""
        wanted = self.check_columns(only)
        found = self.rows.read(indices, [self.old[name] for name in wanted])
        values = {name: found[self.old[name]] for name in wanted}
        if "attributes" in values:
            values["attributes"] = torch.as_tensor(values["attributes"])[:, self.places]
        return values


def edited(pipeline: Any, given: Rows, edits: Sequence[Edit], asked: Asked) -> DrawnRows:
    """Pictures after edits, one row for each of them, drawn anew each time they are read.

    Args:
        pipeline: Takes a picture, attributes and the option `set`.
        given: What it takes, by row.
        edits: N.
        asked: How the model draws.
    """
    ways = dict.fromkeys((edit.name, edit.on) for edit in edits)
    column = picture_of(pipeline.gives)
    drawn: dict[tuple[str, bool], Rows] = {}

    def draw(indices: list[int]) -> dict[str, Raw]:
        found: dict[int, Any] = {}
        for way in ways:
            mine = [i for i in indices if (edits[i].name, edits[i].on) == way]
            if mine:
                if way not in drawn:
                    name, on = way
                    call = {**asked.call, "set": {name: int(on)}}
                    drawn[way] = made(pipeline, replace(asked, call=call), given)
                rows = drawn[way].read([edits[i].row for i in mine], (column,))[column]
                found |= dict(zip(mine, rows, strict=True))
        return {"image": stacked([found[i] for i in indices])}

    what = f"{asked.weights} {asked.seed} {dict(asked.call)} {given.fingerprint} {edits}"
    return DrawnRows(
        f"{len(edits):,} edits of a {type(pipeline).__name__}",
        {"image": pipeline.gives[column] if column in pipeline.gives else Image()},
        draw,
        len(edits),
        fingerprint=hashlib.sha256(what.encode()).hexdigest(),
    )


def picture(rows: Rows, place: int) -> torch.Tensor:
    """One picture (C, H, W) uint8 of a set."""
    found: torch.Tensor = pictures(rows, [place])[0]
    return found
