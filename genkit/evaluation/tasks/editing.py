"""Pictures with attributes switched on and off: is the change there, and is the rest kept?

Every attribute of every real picture is flipped, as the papers do (`changes/attributes.py`); the
picture with its own attributes is a reconstruction. Where the data knows the right answer of edits
(its part "counterfactual"), errors inside and outside the changed region are measured too, beside
what giving the picture back unchanged would reach.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from genkit.evaluation import usual
from genkit.evaluation.changes import counterfactuals
from genkit.evaluation.changes.editing import Editing
from genkit.evaluation.changes.edits import Given, flags_of
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.results import Evaluation, Shown, Value
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import (
    Asked,
    Task,
    asks_of_sets,
    images_only,
    in_pairs,
    joined,
    loaded,
    made,
    of_both,
    of_pairs,
    own_metrics,
    picture_of,
    some,
)
from genkit.rows.base import Rows

COUNTERFACTUAL = "counterfactual"  # the part of the data that holds right answers
OWN = ("attributes", "regions", "guesses")  # metrics of its own


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Reconstructions, attributes after edits, regions of counterfactuals, edits as a set."""
    real = some(images_only(rows), asked.count)
    given = Given(real, flags_of(pipeline))
    originals = as_image(given, "image")
    start = time.monotonic()
    asked, wanted = own_metrics(asked, OWN)
    asked, extractors, notes = _extractors(asked, real, wanted)
    kept = {name: value for name, value in asked.call.items() if name != "strength"}  # of edits
    back = made(pipeline, replace(asked, call=kept), given)
    rebuilt = as_image(back, picture_of(pipeline.gives))
    found = in_pairs(rebuilt, originals, asked)
    editing = Editing(pipeline, given, asked)
    values: list[Value] = []
    shown: list[Shown] = [editing.examples(rebuilt)] if asked.pictures else []
    judge, others = _judge(extractors)
    shares = None
    if judge is not None and "attributes" in wanted:
        more, shares, unknown = editing.attributes(judge)
        values += more
        notes += [*unknown, *others]
    if "guesses" in wanted:
        values += editing.guesses()
    truth = asked.parts.get(COUNTERFACTUAL)
    if truth is not None and "regions" in wanted:
        more, said, best = counterfactuals.measured(pipeline, truth, asked)
        values += more
        notes += said
        shown += best
    elif shares is not None and asked.pictures:
        shown += editing.extremes(shares)
    ends = replace(
        found,
        metrics=(*values, *found.metrics),
        notes=(*notes, *found.notes),
        seconds=round(time.monotonic() - start, 2),
        pictures=tuple(shown),
    )
    if not (extractors or asked.request.get("protocol")) or not asks_of_sets(asked):
        return ends
    return joined([ends, of_both(editing.one_each, originals, asked)])


def _extractors(
    asked: Asked, real: Rows, wanted: set[str]
) -> tuple[Asked, list[Extractor], list[str]]:
    """The extractors that were named, or the classifier that knows these attributes; notes."""
    request = asked.request
    if not (request.get("extractors") or request.get("protocol")):
        name = usual.attributes_for(real)
        if name is None and not request.get("metrics"):
            return asked, [], [NO_CLASSIFIER.format(real.name)] if "attributes" in wanted else []
        if name is not None:
            asked = replace(asked, request={**request, "extractors": [name]})
    asked, extractors = loaded(asked, real)
    none = "attributes" in wanted and not any(each.flag_names for each in extractors)
    names = ", ".join(each.name for each in extractors) or str(request.get("protocol"))
    return asked, extractors, [NO_FLAGS.format(names)] if none else []


def _judge(extractors: list[Extractor]) -> tuple[Extractor | None, list[str]]:
    """The first that names attributes, and a note where there are more."""
    know = [each for each in extractors if each.flag_names]
    if len(know) < 2:
        return (know[0] if know else None), []
    first, names = know[0], ", ".join(each.name for each in know[1:])
    said = f"attributes after edits are judged by {first.name} alone, not by {names}: give it first"
    return first, [said]


NO_CLASSIFIER = (
    "{}: no classifier of genkit knows these attributes in such pictures, so attributes after "
    "edits are not measured: train one on them (family classifier) and give it: --extractor RUN"
)
NO_FLAGS = (
    "{}: names no attributes, so attributes after edits are not measured; add a run of family "
    "classifier: --extractor RUN"
)


def _values(extractor: Extractor) -> list[str]:
    """Names of values over all attributes, those of the classifier if it is one."""
    seen = ["attribute-accuracy", "preservation-error", "preservation-error-original"]
    known = ["inside-error", "inside-ratio", "outside-error", "guess-accuracy", "unfamiliar-rate"]
    return [*of_pairs(extractor), *(seen if extractor.flag_names else []), *known]


TASK = Task(measure, _values, parts=(COUNTERFACTUAL,), quick=OWN)
