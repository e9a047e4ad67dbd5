"""Pictures of texts: do they show what is said, and are they as good and as varied as real ones?

Pictures are drawn by the first captions of real ones, and both sets compared; metrics that read
captions (`clip-score`, `scene-score`) say whether each shows its own.
"""

from __future__ import annotations

from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.results import Evaluation
from genkit.evaluation.sets import captions_of
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.suite import evaluate
from genkit.evaluation.task import Asked, Task, images_only, made, of_sets, some
from genkit.rows.base import Rows
from genkit.rows.columns import Text
from genkit.rows.given import cycle


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Pictures of the captions of real ones, as a set against those."""
    real = some(images_only(rows), asked.count)
    captions = captions_of(real)
    if captions is None:
        raise EvaluationError(
            f"{real.name}: no captions to draw pictures of; give a set with captions as the "
            "reference"
        )
    given = cycle("captions", {"caption": Text()}, caption=list(captions))
    samples = made(pipeline, asked, given)
    return evaluate(samples, real, train=asked.train, seed=asked.seed, **asked.request)


TASK = Task(measure, of_sets)
