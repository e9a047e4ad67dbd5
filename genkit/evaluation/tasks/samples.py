"""New pictures: are they as good and as varied as real ones?"""

from __future__ import annotations

from typing import Any

from genkit.evaluation.results import Evaluation
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.suite import evaluate
from genkit.evaluation.task import Asked, Task, made, of_sets
from genkit.rows.base import Rows

COUNT = 10_000  # samples


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Samples of a seed as a set against real pictures."""
    samples = made(pipeline, asked, count=COUNT if asked.count is None else asked.count)
    return evaluate(samples, rows, train=asked.train, seed=asked.seed, **asked.request)


TASK = Task(measure, of_sets, takes_files=True)
