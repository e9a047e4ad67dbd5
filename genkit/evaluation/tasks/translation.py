"""Pictures made of other pictures: each beside its target, or a set beside one of the other side.

Real rows are pairs with the columns `source` and `target`, or two sides without pairs
(`rows.combine.unpaired`), each of which is translated to the other as far as the pipeline does.
Where true counterparts of such sides are known (the data's part "truth"), translations are measured
beside them too. Whatever can be is given beside what returning the input would reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.changes.translating import OWN, QUICK, Way
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.results import Evaluation
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import (
    Asked,
    Task,
    asks_of_sets,
    images_only,
    joined,
    loaded,
    of_pairs,
    own_metrics,
    picture_of,
    some,
)
from genkit.rows.base import Rows
from genkit.rows.combine import UnpairedRows

SOURCE, TARGET = "source", "target"
TRUTH = "truth"  # the part of the data that holds true counterparts
SIDES = ("image_a", "image_b")
WAYS = ("a-to-b", "b-to-a")  # endings of the names of values that are measured both ways


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Translations beside their targets; without pairs, beside the pictures of the other side."""
    real = images_only(rows)
    asked, wanted = own_metrics(asked, OWN)
    if isinstance(real, UnpairedRows):
        return _sides(pipeline, real, asked, wanted)
    if TARGET not in real.columns:
        raise EvaluationError(
            f"{real.name}: no column {TARGET!r} to compare with; give pairs (data.kind=paired) or "
            "two sides (data.kind=unpaired)"
        )
    real = some(real, asked.count)
    taken = next((picture_of(columns) for columns in pipeline.takes if columns), SOURCE)
    given = real if taken in real.columns else as_image(real, SOURCE, taken)
    targets = as_image(real, TARGET)
    learned = asked.train
    if learned is not None and TARGET in learned.columns:
        asked = replace(asked, train=as_image(learned, TARGET))
    asked = _loaded(asked, targets, wanted)
    way = Way(pipeline, "", taken, given, targets, asked, wanted, truth=(given, targets))
    return way.measured(in_pairs=True)


def _loaded(asked: Asked, real: Rows, wanted: set[str]) -> Asked:
    """With the extractors loaded, where anything is measured by them."""
    return loaded(asked, real)[0] if asks_of_sets(asked) or wanted & {"structure"} else asked


def _sides(pipeline: Any, rows: UnpairedRows, asked: Asked, wanted: set[str]) -> Evaluation:
    asked = _loaded(asked, as_image(rows.b, picture_of(rows.b.columns)), wanted)
    parts = [(way.name, way.measured()) for way in _ways(pipeline, rows, asked, wanted)]
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


def _ways(pipeline: Any, rows: UnpairedRows, asked: Asked, wanted: set[str]) -> Iterator[Way]:
    """Each way that the pipeline goes, and what it is measured by."""
    taken = [column for column in SIDES if any(column in columns for columns in pipeline.takes)]
    truth = asked.parts.get(TRUTH)
    sides = (rows.a, rows.b)
    for column in taken:
        here = SIDES.index(column)
        other = SIDES[1 - here]
        real = sides[1 - here]
        mine = asked
        if isinstance(asked.train, UnpairedRows):
            learned = (asked.train.a, asked.train.b)[1 - here]
            mine = replace(asked, train=as_image(learned, picture_of(learned.columns)))
        known = None
        if truth is not None:
            pairs = some(truth, asked.count)
            known = (as_image(pairs, column, column), as_image(pairs, other))
        yield Way(
            pipeline,
            WAYS[here] if len(taken) > 1 else "",
            column,
            some(sides[here], asked.count),
            as_image(real, picture_of(real.columns)),
            mine,
            wanted,
            truth=known,
            back=other if other in taken else None,
        )


def _values(extractor: Extractor) -> list[str]:
    """Names of values of one way; of two ways the mean of both is meant."""
    spaces = ("pixels", extractor.name)
    found = [f"retrieval-{most}-{space}" for space in spaces for most in (1, 5)]
    return [*of_pairs(extractor), "truth-l1", "cycle-l1", *found]


TASK = Task(measure, _values, parts=(TRUTH,), quick=QUICK)
