"""Pictures made of other pictures: each beside its target, or a set beside one of the other side.

Real rows are pairs with the columns `source` and `target`, or two sides without pairs
(`rows.combine.unpaired`), each of which is translated to the other as far as the pipeline does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.results import Evaluation
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import (
    Asked,
    Task,
    compared,
    images_only,
    joined,
    made,
    of_both,
    of_pairs,
    picture_of,
    some,
)
from genkit.rows.base import Rows
from genkit.rows.combine import UnpairedRows

SOURCE, TARGET = "source", "target"


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Translations beside their targets; without pairs, beside the pictures of the other side."""
    real = images_only(rows)
    if isinstance(real, UnpairedRows):
        return _sides(pipeline, real, asked)
    if TARGET not in real.columns:
        raise EvaluationError(
            f"{real.name}: no column {TARGET!r} to compare with; give pairs (data.kind=paired) or "
            "two sides (data.kind=unpaired)"
        )
    real = some(real, asked.count)
    return compared(pipeline, _inputs(pipeline, real), as_image(real, TARGET), asked)


def _inputs(pipeline: Any, rows: Rows) -> Rows:
    """The rows with their sources under a name that the pipeline takes."""
    taken = next((picture_of(columns) for columns in pipeline.takes if columns), SOURCE)
    return rows if taken in rows.columns else as_image(rows, SOURCE, taken)


def _sides(pipeline: Any, rows: UnpairedRows, asked: Asked) -> Evaluation:
    parts = list(_directions(pipeline, rows, asked))
    if not parts:
        raise EvaluationError(
            f"a {type(pipeline).__name__} takes neither image_a nor image_b of {rows.name}"
        )
    if len(parts) == 1:
        return parts[0][1]
    named = [
        replace(found, metrics=tuple(replace(m, name=f"{m.name}-{way}") for m in found.metrics))
        for way, found in parts
    ]
    return joined(named)


def _directions(
    pipeline: Any, rows: UnpairedRows, asked: Asked
) -> Iterator[tuple[str, Evaluation]]:
    """Each way that the pipeline goes, and what both sets have to say of it."""
    for way, column, given, other in (
        ("a-to-b", "image_a", rows.a, rows.b),
        ("b-to-a", "image_b", rows.b, rows.a),
    ):
        if any(column in columns for columns in pipeline.takes):
            images = made(pipeline, asked, some(given, asked.count))
            real = as_image(other, picture_of(other.columns))
            yield way, of_both(as_image(images, picture_of(pipeline.gives)), real, asked)


TASK = Task(measure, of_pairs)
