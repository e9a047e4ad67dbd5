"""Pictures through a model and back: how near does it come to each of them?"""

from __future__ import annotations

from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.results import Evaluation
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import Asked, Task, compared, images_only, of_pairs, picture_of, some
from genkit.rows.base import Rows
from genkit.rows.columns import Image


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Each picture beside what the pipeline makes of it, and both sets as such."""
    real = some(images_only(rows), asked.count)
    column = _taken(pipeline, real)
    return compared(pipeline, as_image(real, column, column), as_image(real, column), asked)


def _taken(pipeline: Any, rows: Rows) -> str:
    """The column of pictures that the pipeline takes."""
    for columns in pipeline.takes:
        if any(isinstance(column, Image) for column in columns.values()):
            name = picture_of(columns)
            return name if name in rows.columns else picture_of(rows.columns)
    raise EvaluationError(f"a {type(pipeline).__name__} takes no picture: nothing to reconstruct")


TASK = Task(measure, of_pairs)
